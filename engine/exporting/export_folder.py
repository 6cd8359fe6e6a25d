"""The folder that a network is exported into: its formats, what is known of it, and how alike they are."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import InputError, unknown_name, writing
from engine.exporting.exported import CONFIG, FORMAT, WEIGHTS, load_exported
from engine.exporting.portable import Run, read_onnx, read_program, write_onnx, write_program
from engine.seeds import generator
from engine.stages.network import to_device
from engine.store.artifact import checksum
from engine.store.attempts import write_readable

TOLERANCE = 1e-4
"""By how much a format's logits may differ from the network's, as a share of the largest logit; of the order of what
another order of summation changes. The format safetensors must give the very bits."""
N_COMPARED = 8
"""Images that formats are compared on: noise, whose pixels are of an image's 256 values."""
EXAMPLE = "example.py"
PROGRAM = "model.pt2"
ONNX = "onnx"


@dataclass(frozen=True)
class _Format:
    """A way to write a network.

    Attributes:
        file: its name.
        write: called as ``write(network, example images, path, what is known of it)``.
        read: returns what runs the file, and what that is.
        tolerance: as ``TOLERANCE``.
        needs: packages that not every installation has.
    """

    file: str
    write: Callable[[nn.Module, Tensor, Path, Mapping[str, Any]], None]
    read: Callable[[Path], tuple[Run, str]]
    tolerance: float = TOLERANCE
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


@dataclass(frozen=True)
class Written:
    """A file of an exported network.

    Attributes:
        file: its name.
        n_bytes: its size.
        sha256: of its content.
        difference: the largest difference of its logits from the network's, as a share of the largest logit.
        compared_with: what ran it for that.
    """

    file: str
    n_bytes: int
    sha256: str
    difference: float
    compared_with: str


@dataclass(frozen=True)
class Exported:
    """What was written into a folder.

    Attributes:
        files: the network's, a format each.
        left_out: formats that were not written, a sentence each.
    """

    files: tuple[Written, ...]
    left_out: tuple[str, ...]


def _write_weights(network: nn.Module, example: Tensor, path: Path, about: Mapping[str, Any]) -> None:
    from safetensors.torch import save_file

    # contiguous copies: safetensors takes neither channels-last weights as they lie nor two names of one tensor
    values = network.state_dict().items()
    tensors = {name: value.cpu().clone(memory_format=torch.contiguous_format) for name, value in values}
    write_readable(path, lambda: save_file(tensors, path, metadata={"format": "pt"}))


def _read_weights(path: Path) -> tuple[Run, str]:
    return load_exported(path.parent), "engine.load_exported"


_FORMATS = {
    "safetensors": _Format(WEIGHTS, _write_weights, _read_weights, tolerance=0.0),
    "pt2": _Format(PROGRAM, write_program, read_program),
    ONNX: _Format("model.onnx", write_onnx, read_onnx, needs=("onnx", "onnxscript")),
}
FORMATS = tuple(_FORMATS)
"""Names of the formats: weights and settings, a program of ``torch.export``, and ONNX."""
FILES = frozenset({CONFIG, EXAMPLE, *(way.file for way in _FORMATS.values())})
"""Names of all files that an export writes."""


def check_formats(asked: Sequence[str]) -> None:
    """Check the formats that a person asks for.

    Raises:
        InputError: an unknown one, or one that this installation cannot write.
    """
    for name in asked:
        if name not in _FORMATS:
            raise unknown_name("format", name, _FORMATS)
        if _FORMATS[name].missing:
            raise InputError(_lacking(name))


def check_folder(folder: Path) -> None:
    """Make a folder for an exported network, or find that it is empty, and can be written.

    Raises:
        InputError: it is a file, is not empty, is in a folder that does not exist, or cannot be written.
    """
    if not folder.parent.is_dir():
        raise InputError(f"the folder that {folder} is to be in does not exist: {folder.parent}")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the network goes into a folder, but this is a file: {folder}")
    made = not folder.exists()
    with writing("the network's folder", folder):
        folder.mkdir(exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(
                f"the network's folder must be a new or an empty one, but has files: {folder}; an earlier export is "
                "replaced by --replace"
            )
        (folder / CONFIG).touch()
        (folder / CONFIG).unlink()
        if made:
            folder.rmdir()


def export_network(
    network: nn.Module,
    folder: Path,
    *,
    settings: Mapping[str, Any],
    about: Mapping[str, Any],
    formats: Sequence[str] | None = None,
) -> Exported:
    """Write a network into a folder; each of its files is read back and compared with the network.

    Where something fails, nothing is left in the folder.

    Args:
        network: the network; it stays as it is, wherever it is.
        folder: a new or an empty one.
        settings: what builds it, as ``build_network`` takes them.
        about: what else is known of it, as JSON.
        formats: of ``FORMATS``; None for all that can be.

    Raises:
        InputError: the folder cannot be written, or a format that is asked for cannot be.
    """
    check_formats(formats or ())
    check_folder(folder)
    made = not folder.exists()
    network = to_device(copy.deepcopy(network), torch.device("cpu")).eval()  # laid out as whoever loads it has it
    known = {"format": FORMAT, "network": dict(settings), **about}
    try:
        folder.mkdir(exist_ok=True)
        _write_json(folder / CONFIG, known)
        files, left_out = [], []
        for name in formats or _FORMATS:
            try:
                files.append(_written(network, name, folder, known))
            except InputError as error:
                if formats is not None:
                    raise
                left_out.append(str(error))
        if not files:
            raise InputError(f"the network can be written in no format: {'; '.join(left_out)}")
        _write_json(folder / CONFIG, {**known, "files": [asdict(each) for each in files]})
        if any(each.file == WEIGHTS for each in files):
            has_program = any(each.file == PROGRAM for each in files)
            (folder / EXAMPLE).write_text(example_of(settings, has_program=has_program), encoding="utf-8")
    except BaseException as error:
        _leave_nothing(folder, made)
        if isinstance(error, OSError):
            raise InputError(f"the network's folder cannot be written: {folder} ({error.strerror or error})") from error
        raise
    return Exported(tuple(files), tuple(left_out))


def example_of(settings: Mapping[str, Any], *, has_program: bool) -> str:
    """Return a script that loads an exported network from the folder it lies in.

    Args:
        settings: what builds the network.
        has_program: whether the folder has the format pt2 as well, which torch alone can run where this project is not
            installed.
    """
    shape = ", ".join(str(settings[name]) for name in ("in_channels", "image_size", "image_size"))
    without = (
        f'    network = torch.export.load(folder / "{PROGRAM}").module()\n'
        if has_program
        else f'    raise SystemExit("{WEIGHTS} needs robustune, which is not installed here: pip install robustune, or '
        'set PYTHONPATH to a checkout of it") from None\n'
    )
    return (
        "from pathlib import Path\n"
        "import torch\n"
        "folder = Path(__file__).resolve().parent\n"
        "try:\n"
        "    from engine import load_exported\n"
        "except ImportError:  # robustune is not installed here\n"
        f"{without}"
        "else:\n"
        "    network = load_exported(folder)\n"
        f"print(network(torch.rand(2, {shape})).softmax(1))  # images in [0, 1]: of uint8 ones, images.float() / 255\n"
    )


def _written(network: nn.Module, name: str, folder: Path, about: Mapping[str, Any]) -> Written:
    """Write a format and compare it with the network.

    Raises:
        InputError: it cannot be written, or is not the network.
    """
    way = _FORMATS[name]
    if way.missing:
        raise InputError(_lacking(name))
    images = _images(about["network"])
    path = folder / way.file
    try:
        way.write(network, images[:2], path, about)
        run, by = way.read(path)
        difference = max(_difference(network, run, some) for some in (images, images[:1]))
    except OSError:
        raise
    except Exception as error:  # exporters have errors of their own for what a user's model does
        path.unlink(missing_ok=True)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"the network cannot be written as {name}: {type(error).__name__}: {reason}") from error
    if not difference <= way.tolerance:
        path.unlink()
        raise InputError(
            f"the network cannot be written as {name}: its logits there differ by {difference:.1e} of the largest one, "
            f"and at most {way.tolerance:g} is allowed"
        )
    return Written(way.file, path.stat().st_size, checksum(path), difference, by)


@torch.no_grad()
def _difference(network: nn.Module, run: Run, images: Tensor) -> float:
    expected, found = network(images), run(images).detach()
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny))


def _images(settings: Mapping[str, Any]) -> Tensor:
    shape = (N_COMPARED, settings["in_channels"], settings["image_size"], settings["image_size"])
    return torch.randint(0, 256, shape, generator=generator(0, "exported network")).float() / 255


def _lacking(name: str) -> str:
    missing = " and ".join(_FORMATS[name].missing)
    return f"the format {name} needs {missing}, which this environment lacks: pip install 'robustune[{name}]'"


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def _leave_nothing(folder: Path, made: bool) -> None:
    """Remove what was written into a folder, and itself if it was not there before."""
    with contextlib.suppress(OSError):
        for name in (CONFIG, EXAMPLE, *(way.file for way in _FORMATS.values())):
            for path in folder.glob(f"{name}*"):  # what is too large for one file has others beside it
                path.unlink()
        if made:
            folder.rmdir()
