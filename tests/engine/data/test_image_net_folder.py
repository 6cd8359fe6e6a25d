"""``imagefolder:PATH``: as torchvision lays ImageNet out, and as networks for it are tested."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from engine.data import open_reader
from engine.errors import InputError
from engine.settings import DataSettings

CLASSES = {"n01440764": 3, "n01443537": 2, "n02123045": 2}


def write(path, size, *, seed=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels, mode).resize(size).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three classes, of pictures of many sizes; ``val/`` has the last two of them."""
    sizes = [(40, 30), (37, 61), (32, 32), (33, 32), (90, 31), (300, 200), (31, 31)]
    for part, classes in (("train", CLASSES), ("val", list(CLASSES)[1:])):
        for name in classes:
            for number in range(CLASSES[name]):
                seed = len(list(tmp_path.rglob("*.png")))
                write(tmp_path / "it" / part / name / f"{number}.png", sizes[seed % len(sizes)], seed=seed)
    return tmp_path / "it"


def read(folder, **settings):
    return open_reader(DataSettings(name=f"imagefolder:{folder}", **{"image_size": 32, **settings})).read()


def test_pictures_are_those_of_torchvision_s_usual_transforms(folder):
    raw = read(folder, image_size=28)  # 28 of 32 as 224 of 256
    usual = transforms.Compose([transforms.Resize(32), transforms.CenterCrop(28), transforms.PILToTensor()])
    found = torch.cat([raw.train.images, raw.test.images])
    paths = [*sorted((folder / "train").rglob("*.png")), *sorted((folder / "val").rglob("*.png"))]
    assert len(found) == len(paths)
    for pixels, path in zip(found, paths, strict=True):
        assert torch.equal(pixels, usual(Image.open(path).convert("RGB"))), Image.open(path).size


def test_a_picture_of_the_wanted_size_stays_as_it_is(folder):
    (place,) = [
        number
        for number, path in enumerate(sorted((folder / "train").rglob("*.png")))
        if Image.open(path).size == (32, 32)
    ]
    path = sorted((folder / "train").rglob("*.png"))[place]
    assert np.array_equal(read(folder).train.images[place].permute(1, 2, 0).numpy(), np.asarray(Image.open(path)))


def test_val_has_the_test_images_with_the_classes_of_train(folder):
    raw = read(folder)
    assert raw.class_names == tuple(CLASSES)
    assert raw.train.labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert raw.test.labels.tolist() == [1, 1, 2, 2]
    reader = open_reader(DataSettings(name=f"imagefolder:{folder}"))
    assert any("val/ has no pictures of 1 of 3 classes" in note for note in reader.notes)
    assert any("their shorter side to 256 pixels, and their central 224 pixels are used" in n for n in reader.notes)


def test_some_classes_alone_are_read(folder):
    raw = read(folder, classes=("n02123045", "n01443537"))
    assert raw.class_names == ("n01443537", "n02123045")
    assert raw.train.labels.tolist() == [0, 0, 1, 1]
    assert raw.test.labels.tolist() == [0, 0, 1, 1]
    with pytest.raises(
        InputError, match=r"train: unknown class 'n0212304' \(did you mean 'n02123045'\?\); known: n014"
    ):
        read(folder, classes=("n01443537", "n0212304"))
    with pytest.raises(InputError, match=r"`data\.classes` must be two names of classes or more"):
        read(folder, classes=("n01443537",))
    all_of_them, some = (
        open_reader(DataSettings(name=f"imagefolder:{folder}", classes=classes)).fingerprint()
        for classes in (None, ("n01443537", "n02123045"))
    )
    assert all_of_them != some


def test_grey_pictures_become_three_channels(folder):
    write(folder / "train" / "n01440764" / "grey.png", (40, 40), mode="L")
    assert read(folder).train.images.shape[1] == 3


def test_another_layout_is_a_sentence(folder, tmp_path):
    with pytest.raises(InputError, match="data set 'imagefolder' needs a path: imagefolder:PATH"):
        open_reader(DataSettings(name="imagefolder"))
    (folder / "val").rename(folder / "test")
    with pytest.raises(InputError, match=r"has no folder 'val' \(it has test/, train/\); expected .*it is folder:"):
        read(folder)
    (folder / "test").rename(folder / "val")
    (folder / "val" / "n09999999").mkdir()
    with pytest.raises(InputError, match=r"class folder without pictures: .*n09999999"):
        read(folder)
    write(folder / "val" / "n09999999" / "0.png", (32, 32))
    with pytest.raises(InputError, match=r"classes of val/ that train/ lacks, so that nothing could learn them: n0"):
        read(folder)
    (tmp_path / "none" / "train").mkdir(parents=True)
    (tmp_path / "none" / "val").mkdir()
    with pytest.raises(InputError, match="folder has no classes"):
        read(tmp_path / "none")


def test_all_pictures_that_cannot_be_read_are_named(folder):
    (folder / "train" / "n01440764" / "empty.png").write_bytes(b"")
    cut = folder / "val" / "n01443537" / "0.png"
    cut.write_bytes(cut.read_bytes()[:200])
    with pytest.raises(InputError) as refused:
        read(folder)
    for name in ("2 of 12 pictures cannot be used", "empty.png (it is empty)", "n01443537/0.png"):
        assert name in str(refused.value)
