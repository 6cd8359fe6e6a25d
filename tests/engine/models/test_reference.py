import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import InputError
from engine.layers import PushPull2d
from engine.models import build_model, load_reference_checkpoint

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[3].parent / "shared" / "reference"
REFERENCE = Path(os.environ.get("ROBUSTUNE_REFERENCE", BESIDE_THE_CHECKOUT))
FILES = {
    "resnet-20": ("resnet-20", 272_474, 0.0757),
    "resnet-20-pp": ("resnet-20", 272_474, 0.0829),
    "resnet-32": ("resnet-32", 466_906, 0.0730),
    "resnet-32-pp": ("resnet-32", 466_906, 0.0716),
    "densenet-bc-40-12-pp": ("densenet-bc-40-12", 176_122, 0.0713),
}


def published(stem):
    path = REFERENCE / "checkpoints" / f"{stem}.pth.tar"
    if not path.is_file():
        pytest.skip("the authors' files are not here; ROBUSTUNE_REFERENCE names their folder")
    return path


@pytest.fixture(scope="module")
def images_and_logits():
    logits, archive = REFERENCE / "checkpoints" / "logits.npz", REFERENCE.parent / "data" / "cifar10-jpeg.tar.gz"
    if not (logits.is_file() and archive.is_file()):
        pytest.skip("the authors' logits or their images are not here")
    image_module = pytest.importorskip("PIL.Image")
    with np.load(logits) as arrays:
        expected = {name: arrays[name] for name in arrays.files}
    wanted = [f"test/{name}" for name in expected["names"]]
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = next((name for name in wanted if member.name.endswith(name)), None)
            if name is not None:
                found[name] = np.asarray(image_module.open(io.BytesIO(tar.extractfile(member).read())))
                if len(found) == len(wanted):
                    break
    pixels = torch.from_numpy(np.stack([found[name] for name in wanted]))
    return pixels.permute(0, 3, 1, 2).float() / 255, expected


def save_as_the_authors_do(path, model, **changes):
    """Write a model's weights under the authors' names; ``changes`` replace entries of the state dict (None: drop)."""
    state = {key: value for key, value in model.state_dict().items() if not key.startswith("normalise")}
    if isinstance(next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d)), PushPull2d):
        state = {
            key.replace("conv1.w", "conv1.push.w") if key == "conv1.weight" else key: v for key, v in state.items()
        }
    state |= changes
    state = {key: value for key, value in state.items() if value is not None}
    torch.save({"epoch": 3, "state_dict": state, "best_prec1": torch.tensor(90.0)}, path)
    return path


@pytest.fixture
def small_model():
    torch.manual_seed(0)
    return build_model("resnet-8", num_classes=4, width=4, push_pull={"h": 2.0}).eval()


@pytest.mark.parametrize("stem", list(FILES))
def test_published_files_load_with_their_facts(stem):
    model, info = load_reference_checkpoint(published(stem))
    name, n_parameters, clean_error = FILES[stem]
    assert info["name"] == name
    assert (info["num_classes"], info["in_channels"]) == (10, 3)
    assert info["clean_error"] == pytest.approx(clean_error, abs=1e-4)
    assert (info["push_pull"] is not None) == stem.endswith("-pp")
    assert sum(isinstance(module, PushPull2d) for module in model.modules()) == stem.endswith("-pp")
    assert sum(parameter.numel() for parameter in model.parameters()) == n_parameters
    assert not model.training


@pytest.mark.parametrize("stem", list(FILES))
def test_published_files_give_the_authors_logits(stem, images_and_logits):
    images, expected = images_and_logits
    model, _ = load_reference_checkpoint(published(stem))
    with torch.no_grad():
        torch.testing.assert_close(model(images), torch.from_numpy(expected[stem]), rtol=0, atol=1e-3)


def test_other_inhibition_gives_other_logits(images_and_logits):
    images, expected = images_and_logits
    for settings in ({"h": 1.5}, {"alpha": 0.9}):
        model, info = load_reference_checkpoint(published("resnet-20-pp"), **settings)
        assert info["push_pull"].items() >= settings.items()
        with torch.no_grad():
            assert (model(images) - torch.from_numpy(expected["resnet-20-pp"])).abs().max() > 0.01


def test_a_file_of_the_same_form_round_trips(tmp_path, small_model):
    loaded, info = load_reference_checkpoint(save_as_the_authors_do(tmp_path / "a.pth.tar", small_model))
    assert info == {
        "name": "resnet-8",
        "num_classes": 4,
        "in_channels": 3,
        "width": 4,
        "push_pull": {"where": "first", "h": 2.0, "alpha": 1.0, "learn_alpha": None},
        "epoch": 3,
        "clean_error": pytest.approx(0.1),
    }
    assert loaded.normalise.mean.tolist() == pytest.approx([0.4914, 0.4824, 0.4467], abs=1e-4)
    small_model.normalise.load_state_dict(loaded.normalise.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(images), small_model(images))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"layer3.0.bn1.weight": None}, "do not fit: layer3.0.bn1.weight is missing"),
        ({"conv1.alpha": torch.ones(4)}, "conv1.alpha is not expected"),
        (
            {"layer2.0.conv1.weight": torch.ones(8, 4, 5, 5)},
            r"layer2.0.conv1.weight has shape \(8, 4, 5, 5\) instead of",
        ),
        ({"layer1.0.conv1.weight": None}, "neither a CIFAR ResNet nor a DenseNet-BC"),
        ({"fc.weight": torch.ones(4)}, r"cannot have shapes \(4, 3, 3, 3\) and \(4,\)"),
        ({"conv1.push.weight": torch.tensor(1.0)}, r"cannot have shapes \(\) and"),
        ({"fc.weight": None}, "neither a CIFAR ResNet nor a DenseNet-BC"),
        ({"fc.bias": 3.0}, "must map names to tensors, got 'fc.bias': float"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, small_model, changes, match):
    path = save_as_the_authors_do(tmp_path / "a.pth.tar", small_model, **changes)
    with pytest.raises(InputError, match=match):
        load_reference_checkpoint(path)


def test_files_cut_off_are_refused(tmp_path, small_model):
    content = save_as_the_authors_do(tmp_path / "a.pth.tar", small_model).read_bytes()
    for size in (0, 1, 100, len(content) // 2, len(content) - 10):
        (tmp_path / "cut.pth.tar").write_bytes(content[:size])
        with pytest.raises(InputError, match=r"cut\.pth\.tar (cannot be read|is refused)"):
            load_reference_checkpoint(tmp_path / "cut.pth.tar")


def test_published_files_cut_off_are_refused(tmp_path):
    content = published("resnet-20").read_bytes()
    (tmp_path / "cut.pth.tar").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=r"cut\.pth\.tar (cannot be read|is refused)"):
        load_reference_checkpoint(tmp_path / "cut.pth.tar")


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_file_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    torch.save({"state_dict": {}, "more": Hostile(tmp_path / "ran")}, tmp_path / "hostile.pth.tar")
    with pytest.raises(InputError, match="is refused: it holds more than weights"):
        load_reference_checkpoint(tmp_path / "hostile.pth.tar")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [torch.ones(3), {"weights": {}}, {"state_dict": 3}, {"state_dict": {}}])
def test_other_files_of_torch_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt (is not a checkpoint of the push–pull authors|holds neither)"):
        load_reference_checkpoint(tmp_path / "other.pt")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.pth.tar", tmp_path):
        with pytest.raises(InputError, match="there is no checkpoint file"):
            load_reference_checkpoint(path)
