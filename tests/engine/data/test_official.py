"""The published formats, written in miniature: idx-ubyte and pickled batches, as Python 2 and Python 3 write them."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.data import READERS, load_dataset, open_reader, outline_data
from engine.data.official import fit, load_batch
from engine.errors import InputError
from engine.settings import DataSettings

pytest.importorskip("torchvision")
N_TRAIN, N_TEST = 40, 20
MNIST_FILES = {
    "images": ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"),
    "labels": ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"),
}


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write unsigned bytes: two zeros, type 8, the number of dimensions, each size big-endian, the values."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(root: Path) -> dict[str, np.ndarray]:
    folder, draws = root / "MNIST" / "raw", np.random.default_rng(0)
    folder.mkdir(parents=True)
    arrays = {}
    for part, n in enumerate((N_TRAIN, N_TEST)):
        images, labels = draws.integers(0, 256, (n, 28, 28)), np.arange(n) % 10
        write_idx(folder / MNIST_FILES["images"][part], images)
        write_idx(folder / MNIST_FILES["labels"][part], labels)
        arrays |= {f"images{part}": images, f"labels{part}": labels}
    return arrays


def write_cifar(root: Path, n_classes: int = 10, protocol: int = 2) -> dict[str, np.ndarray]:
    """Write batches of 8 (CIFAR-10) or one of 40 (CIFAR-100) training images and the test images."""
    hundred, draws = n_classes == 100, np.random.default_rng(0)
    folder = root / ("cifar-100-python" if hundred else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    names = ["train", "test"] if hundred else [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    sizes = [N_TRAIN, N_TEST] if hundred else [N_TRAIN // 5] * 5 + [N_TEST]
    arrays: dict[str, list[np.ndarray]] = {"images0": [], "images1": [], "labels0": [], "labels1": []}
    for name, n in zip(names, sizes, strict=True):
        data, labels = draws.integers(0, 256, (n, 3072)).astype(np.uint8), (np.arange(n) % n_classes).tolist()
        keys = {"fine_labels": labels, "coarse_labels": [0] * n} if hundred else {"labels": labels}
        (folder / name).write_bytes(pickle.dumps({"data": data, "filenames": ["x.png"] * n, **keys}, protocol=protocol))
        part = int("test" in name)
        arrays[f"images{part}"].append(data.reshape(n, 3, 32, 32))
        arrays[f"labels{part}"].append(np.array(labels))
    meta = {"fine_label_names" if hundred else "label_names": [f"class {i}" for i in range(n_classes)]}
    (folder / ("meta" if hundred else "batches.meta")).write_bytes(pickle.dumps(meta, protocol=protocol))
    return {name: np.concatenate(parts) for name, parts in arrays.items()}


def read(name: str, root: Path, **settings):
    return open_reader(DataSettings(name=f"{name}:{root}", **settings)).read()


def test_mnist_is_read_from_its_idx_files(tmp_path):
    arrays = write_mnist(tmp_path)
    raw = read("mnist", tmp_path)
    assert raw.train.images.shape == (N_TRAIN, 1, 28, 28)
    for part, split in enumerate((raw.train, raw.test)):
        np.testing.assert_array_equal(split.images[:, 0], arrays[f"images{part}"])
        np.testing.assert_array_equal(split.labels, arrays[f"labels{part}"])
        assert split.indices.tolist() == list(range(len(split)))
    assert raw.class_names == tuple("0123456789")
    assert raw.severity_table == "digits"


@pytest.mark.parametrize("n_classes", [10, 100])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_cifar_is_read_from_its_batches(tmp_path, n_classes, protocol):
    arrays = write_cifar(tmp_path, n_classes, protocol)
    raw = read(f"cifar{n_classes}", tmp_path)
    for part, split in enumerate((raw.train, raw.test)):
        np.testing.assert_array_equal(split.images, arrays[f"images{part}"])
        np.testing.assert_array_equal(split.labels, arrays[f"labels{part}"])
    assert raw.class_names == tuple(f"class {i}" for i in range(n_classes))
    assert raw.severity_table == "cifar-c"


def test_a_batch_as_python_2_wrote_it_is_read(tmp_path):
    # {"data": array([[1, 2]], uint8), "labels": [3]} in the published files' opcodes: strings of bytes, no unicode
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b"
        b"\x87Rq\x05(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x02\x01\x02tbU\x06labelsq\x08]q\x09K\x03au."
    )
    path = tmp_path / "batch"
    path.write_bytes(content)
    batch = load_batch(path)
    assert batch["data"].tolist() == [[1, 2]]
    assert batch["labels"] == [3]


def test_the_folder_is_the_argument_or_the_environment_s_or_data(tmp_path, monkeypatch):
    write_mnist(tmp_path / "here")
    monkeypatch.setenv("ROBUSTUNE_DATA", str(tmp_path / "here"))
    assert len(load_dataset(DataSettings(name="mnist", validation_fraction=0.5)).test) == N_TEST
    monkeypatch.delenv("ROBUSTUNE_DATA")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rename(tmp_path / "data")
    assert len(load_dataset(DataSettings(name="mnist", validation_fraction=0.5)).test) == N_TEST


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte, MNIST/raw/train-labels-idx1-ubyte, MNIST/raw/t10k-images-idx3"),
        ("cifar10", "cifar-10-batches-py/data_batch_1, .*cifar-10-batches-py/batches.meta"),
        ("cifar100", "cifar-100-python/train, cifar-100-python/test, cifar-100-python/meta"),
    ],
)
def test_files_that_are_missing_are_named_with_their_folder_and_nothing_is_fetched(tmp_path, monkeypatch, name, files):
    def refuse(*arguments, **options):
        raise AssertionError("something was downloaded")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(InputError, match=rf"'{name}' needs files that are not in {tmp_path}: {files}.*--download"):
        open_reader(DataSettings(name=f"{name}:{tmp_path}"))


def test_one_missing_file_is_the_one_that_is_named(tmp_path):
    write_cifar(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(InputError, match=r": cifar-10-batches-py/data_batch_3; put"):
        open_reader(DataSettings(name=f"cifar10:{tmp_path}"))


def test_a_download_is_made_on_request_only(tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    def fetch(url, download_root, filename=None, md5=None, **options):
        folder = Path(download_root)
        if not (folder / "train-images-idx3-ubyte").exists():
            write_mnist(tmp_path / "source")
            for file in (tmp_path / "source" / "MNIST" / "raw").iterdir():
                file.rename(folder / file.name)

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fetch)
    settings = DataSettings(name=f"mnist:{tmp_path / 'data'}", validation_fraction=0.5)
    with pytest.raises(InputError, match="needs files"):
        load_dataset(settings)
    assert len(load_dataset(settings, download=True).test) == N_TEST
    assert MNIST.mirrors  # torchvision's own addresses are what is asked


def test_a_download_that_fails_says_so(tmp_path, monkeypatch):
    from urllib.error import URLError

    def fail(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fail)
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)
    for name in ("mnist", "cifar10", "cifar100"):
        with pytest.raises(InputError, match=rf"'{name}' could not be downloaded into {tmp_path}: .*no route to host"):
            open_reader(DataSettings(name=f"{name}:{tmp_path}"), download=True)


def test_a_set_without_files_has_no_download():
    with pytest.raises(InputError, match="data set 'digits' is not one that can be downloaded"):
        open_reader(DataSettings(), download=True)


class Harmful:
    """A pickle that would run code when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, name):
    write_cifar(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / name
    path.write_bytes(pickle.dumps({"data": Harmful(tmp_path / "ran"), "labels": [0]}))
    with pytest.raises(InputError, match=rf"{name} is refused: it holds more than images and labels.*pathlib"):
        read("cifar10", tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_files_cut_off_are_refused(tmp_path, share):
    write_cifar(tmp_path / "cifar")
    write_mnist(tmp_path / "mnist")
    for path, name in (
        (tmp_path / "cifar" / "cifar-10-batches-py" / "data_batch_2", "cifar10"),
        (tmp_path / "mnist" / "MNIST" / "raw" / "train-images-idx3-ubyte", "mnist"),
    ):
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(InputError, match=r"cut off or damaged|is damaged"):
            read(name, path.parents[2] if name == "mnist" else path.parents[1])


def test_a_file_of_another_format_is_refused(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match="cannot be read"):
        read("mnist", tmp_path)


def test_labels_out_of_range_are_refused(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte", np.arange(N_TEST))
    with pytest.raises(InputError, match=r"labels of the test images must be from 0 to 9 \(10 classes\), got 0…19"):
        read("mnist", tmp_path)


def test_labels_that_are_too_few_are_refused(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte", np.arange(7))
    with pytest.raises(InputError, match=r"each of the training images needs one label.*got 40 images, labels \(7,\)"):
        read("mnist", tmp_path)


@pytest.mark.parametrize("part", [0, 1])
def test_files_of_zeros_are_refused(tmp_path, part):
    write_mnist(tmp_path)
    folder, n = tmp_path / "MNIST" / "raw", (N_TRAIN, N_TEST)[part]
    labels = (folder / MNIST_FILES["labels"][part]).read_bytes()
    write_idx(folder / MNIST_FILES["labels"][part], np.zeros(n))
    with pytest.raises(InputError, match=rf"the labels of all {n} (training|test) images are one class: 0"):
        read("mnist", tmp_path)
    (folder / MNIST_FILES["labels"][part]).write_bytes(labels)
    write_idx(folder / MNIST_FILES["images"][part], np.zeros((n, 28, 28)))
    with pytest.raises(InputError, match=rf"all {n} (training|test) images are the same, the value 0 everywhere"):
        read("mnist", tmp_path)


@pytest.mark.parametrize("shape", [(20, 28), (28, 20), (14, 28), (32, 32)])
def test_images_of_another_shape_are_refused_and_not_squeezed(tmp_path, shape):
    write_mnist(tmp_path)
    draws = np.random.default_rng(0).integers(0, 256, (N_TRAIN, *shape))
    write_idx(tmp_path / "MNIST" / "raw" / MNIST_FILES["images"][0], draws)
    for settings in ({}, {"image_size": 32}, {"channels": 3}):
        with pytest.raises(InputError, match=r"must have uint8 images of \(1, 28, 28\), got torch.uint8 of \(1, "):
            read("mnist", tmp_path, **settings)


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    write_cifar(tmp_path)
    reader = open_reader(DataSettings(name=f"cifar10:{tmp_path}"))
    opened = Path.open

    def refuse(path, *arguments, **options):
        if path.name == "data_batch_2":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"file cannot be read: .*/data_batch_2 \(Permission denied\)"):
        reader.fingerprint()


def test_images_can_have_another_size_and_other_channels(tmp_path):
    write_mnist(tmp_path)
    write_cifar(tmp_path)
    assert read("mnist", tmp_path, image_size=16, channels=3).train.images.shape == (N_TRAIN, 3, 16, 16)
    assert read("cifar10", tmp_path, image_size=24, channels=1).train.images.shape == (N_TRAIN, 1, 24, 24)


def test_fit_is_pillow_s():
    image_module = pytest.importorskip("PIL.Image")
    images = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    found = fit(images, 20, 1)
    for image, small in zip(images, found, strict=True):
        grey = image_module.fromarray(image.permute(1, 2, 0).numpy()).convert("L")
        expected = np.asarray(grey.resize((20, 20), image_module.Resampling.BILINEAR), dtype=int)
        assert np.abs(small[0].numpy().astype(int) - expected).max() <= 2  # Pillow rounds between the two axes


def test_the_fingerprint_changes_with_a_byte_and_the_decoding_and_not_with_the_folder(tmp_path):
    for folder in ("one", "two"):
        write_cifar(tmp_path / folder)

    def fingerprint(folder: str, **settings) -> str:
        return open_reader(DataSettings(name=f"cifar10:{tmp_path / folder}", **settings)).fingerprint()

    first = fingerprint("one")
    assert first == fingerprint("two")
    assert len({first, fingerprint("one", image_size=16), fingerprint("one", channels=1)}) == 3
    path = tmp_path / "two" / "cifar-10-batches-py" / "test_batch"
    content = path.read_bytes()
    path.write_bytes(content[:2000] + bytes([content[2000] ^ 1]) + content[2001:])
    assert fingerprint("two") != first


@pytest.mark.parametrize(("name", "n_classes"), [("mnist", 10), ("cifar10", 10), ("cifar100", 100)])
def test_a_data_set_that_is_not_here_is_known_by_what_its_authors_say(name, n_classes, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTUNE_DATA", str(tmp_path))
    settings = DataSettings(name=name, validation_fraction=0.1, n_test=1000)
    outline = outline_data(settings)
    n_train = {"mnist": 60_000}.get(name, 50_000)
    assert outline.n_train + outline.n_validation == n_train
    assert outline.n_validation == pytest.approx(n_train / 10, abs=5)  # each class is rounded
    assert (outline.n_classes, outline.n_test) == (n_classes, 1000)
    assert "is not here" in outline.notes[0]
    assert sum(READERS[name].class_sizes) == n_train
    assert outline_data(DataSettings(name="digits")) is None
    with pytest.raises(InputError, match="unknown data set"):
        outline_data(DataSettings(name="cifar11"))
