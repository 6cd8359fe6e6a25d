import numpy as np
import pytest
import torch
from PIL import Image

from engine.corruptions import corrupt, frost_source, why_impossible
from engine.corruptions.frost_pictures import frost_pictures
from engine.errors import InputError
from tests.engine.corruptions.reference import reference_path

FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")


@pytest.fixture
def own_pictures(tmp_path):
    """Five flat pictures, 200×300, of the levels 40, 80, …, 200."""
    for number, name in enumerate(FILES, start=1):
        Image.fromarray(np.full((200, 300, 3), 40 * number, dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


@pytest.fixture(autouse=True)
def _no_frost(monkeypatch):
    monkeypatch.delenv("FROST_DIR", raising=False)


def test_frost_without_pictures_is_synthetic():
    source = frost_source()
    assert (source.kind, source.folder) == ("synthetic", None)
    assert source.key == "synthetic:5fc84a30fa3879dc"


def test_frost_dir_names_the_pictures(own_pictures, monkeypatch):
    monkeypatch.setenv("FROST_DIR", str(own_pictures))
    source = frost_source()
    assert (source.kind, source.folder) == ("other", str(own_pictures))
    black = torch.zeros(60, 3, 32, 32, dtype=torch.uint8)
    # At severity 1 the picture counts a fifth: 8, 16, …, 40.
    assert corrupt(black, "frost", 1, seed=0).unique().tolist() == [8, 16, 24, 32, 40]


def test_frost_dir_without_pictures_is_an_error(own_pictures, monkeypatch):
    (own_pictures / "frost4.jpg").unlink()
    monkeypatch.setenv("FROST_DIR", str(own_pictures))
    with pytest.raises(InputError, match=r"FROST_DIR is .* there is no frost4.jpg in it"):
        frost_source()


@pytest.mark.parametrize("content", [b"", b"no picture", None], ids=["empty", "text", "cut off"])
@pytest.mark.parametrize("name", ["frost2.png", "frost5.jpg"])
def test_a_damaged_picture_is_named(own_pictures, monkeypatch, name, content):
    whole = (own_pictures / name).read_bytes()
    (own_pictures / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    monkeypatch.setenv("FROST_DIR", str(own_pictures))
    with pytest.raises(InputError, match=rf"the picture of frost .*{name} cannot be read: it is damaged"):
        frost_source()
    with pytest.raises(InputError, match="cannot be read"):
        corrupt(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "frost", 1, seed=0)


def test_frost_is_not_taken_for_impossible_where_its_pictures_are_damaged(own_pictures, monkeypatch):
    (own_pictures / "frost1.png").write_bytes(b"")
    monkeypatch.setenv("FROST_DIR", str(own_pictures))
    with pytest.raises(InputError, match=r"frost1.png cannot be read"):
        why_impossible("frost", "cifar-c", 3, 24)
    assert why_impossible("fog", "cifar-c", 3, 24) is None
    assert "needs images of 3 channels" in why_impossible("saturate", "cifar-c", 1, 24)


def test_frost_finds_an_installed_package_that_cannot_be_imported(own_pictures, tmp_path_factory, monkeypatch):
    site = tmp_path_factory.mktemp("site")
    (site / "imagecorruptions").mkdir()
    (site / "imagecorruptions" / "__init__.py").write_text("raise ImportError('no OpenCV here')")
    own_pictures.rename(site / "imagecorruptions" / "frost")
    monkeypatch.syspath_prepend(site)
    assert frost_source().folder == str(site / "imagecorruptions" / "frost")


def test_original_pictures_are_recognised(monkeypatch):
    monkeypatch.setenv("FROST_DIR", str(reference_path("frost")))
    assert frost_source().kind == "benchmark"
    sizes = frost_pictures(32, 32, 3, torch.device("cpu")).sizes.tolist()
    assert sizes == [[120, 180], [63, 112], [63, 112], [70, 105], [99, 132]]


@pytest.mark.parametrize(("side", "step"), [(16, 5), (32, 5), (64, 2), (96, 1), (224, 1), (600, 1)])
def test_pictures_are_larger_than_images_of_any_size(side, step):
    pictures = frost_pictures(side, side, 1, torch.device("cpu"))
    assert bool((pictures.sizes > side).all())
    if side < 320:
        assert pictures.sizes[0].tolist() == [len(range(step // 2, 320, step)), len(range(step // 2, 480, step))]
