"""Files of weights as they occur: which tensors in them are a network's, and what their names are without wrappers.

Nothing is ever executed: torch's files are read as weights only. Training scripts put a network's weights under entries
of many names, beside averaged copies of them, and under prefixes of what it was wrapped in.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.environment import put_back
from engine.errors import InputError

AVERAGED = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema_model",
    "ema_model_state_dict",
    "ema",
    "averaged_model",
)
"""Entries with an average of the weights over the training's steps: where there is one, it is what was trained for."""
ENTRIES = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module")
WRAPPERS = ("module", "_orig_mod", "model", "net", "network", "backbone")
"""First parts of names that do not belong to the network: of data parallelism, compilation, Lightning and the like."""
_COUNTERS_OF_AVERAGES = ("n_averaged", "decay", "num_updates", "initted", "step")
COUNTER = "num_batches_tracked"
_FORCED, _NOT_FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
"""Variables by which torch decides for who asked otherwise."""
N_NAMED = 6
"""How many names an error lists."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        weights: {name: tensor}, all finite, the names without wrappers.
        names: the names in the file.
        facts: the file's other entries, as far as they lie beside the weights.
        average: the entry of an average of the weights, if that is what was taken.
    """

    weights: dict[str, Tensor]
    names: tuple[str, ...]
    facts: Mapping[str, Any]
    average: str | None = None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file of weights: one of torch's, or safetensors.

    Raises:
        InputError: no such file, one that is cut off or damaged, that holds more than weights or no weights at all, or
            weights that are not finite.
    """
    if not path.is_file():
        kind = "file of weights" if path.suffix == ".safetensors" else "checkpoint file"
        raise InputError(f"there is no {kind} {path}")
    content = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    found, average = _find_weights(content)
    if found is None:
        raise InputError(
            f"{path} holds neither a state dict nor another mapping from names to weights; "
            + (
                f"its entries: {_list(content)}"
                if isinstance(content, Mapping)
                else f"it is a {type(content).__name__}"
            )
        )
    place = next((name for name, value in content.items() if value is found), None)
    whose = f"the `{place}` of {path}" if place else str(path)
    tensors, facts = _tensors(found, whose)
    tensors, prefix = _averaged_copy(tensors)
    if found is not content:
        facts = {name: value for name, value in content.items() if not isinstance(value, Mapping)}
    _check_finite(path, tensors)
    plain = plain_names(tensors)
    weights = {name: tensors[given] for name, given in plain.items() if name not in _COUNTERS_OF_AVERAGES}
    return Checkpoint(weights, tuple(tensors), facts, average or prefix)


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Return {a name without wrappers, as this project has it: the name}; all as they are if two came to the same."""
    names = list(names)
    plain = {_plain(name): name for name in names}
    return plain if len(plain) == len(names) else {name: name for name in names}


def _plain(name: str) -> str:
    """Strip wrappers; a push–pull layer's kernel and a residual block's shortcut have other names in other codes."""
    while name.partition(".")[0] in WRAPPERS and "." in name:
        name = name.partition(".")[2]
    return name.replace(".push.", ".").replace(".shortcut.", ".downsample.")


def _is_safetensors(path: Path) -> bool:
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as file:
        head = file.read(9)  # the length of a JSON object, then the object
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}") from error


def _read_torch(path: Path) -> Any:
    """Return the content of a file of torch's; nothing in it is executed."""
    try:
        with weights_only():
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        more = _unknown_classes(path)
        what = f"more than weights ({_list(more)})" if more else "more than weights, or is no checkpoint of torch"
        remedy = "; torch.save(network.state_dict(), FILE) writes weights alone" if more else ""
        raise InputError(f"{path} is refused: it holds {what}{remedy}") from error
    except MemoryError:
        raise
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        raise InputError(f"{path} cannot be read as a checkpoint of torch: cut off or damaged") from error


@contextlib.contextmanager
def weights_only() -> Iterator[None]:
    """Have torch load weights alone, and what runs nothing beside them, whatever it is asked for and by whom."""
    with put_back(_FORCED, _NOT_FORCED), torch.serialization.safe_globals(_harmless()):
        os.environ[_FORCED] = "1"
        os.environ.pop(_NOT_FORCED, None)  # torch refuses both
        yield


def _harmless() -> list[Any]:
    """Return what training scripts leave beside weights and what runs nothing: their options, and numpy's numbers."""
    make_number = np.float64(0).__reduce__()[0]
    numbers = [(make_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [argparse.Namespace, *numbers, np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}]


def _unknown_classes(path: Path) -> list[str]:
    with contextlib.suppress(Exception), torch.serialization.safe_globals(_harmless()):
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    return []


def _find_weights(content: object) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return the mapping in a file's content that holds the weights, and the entry of an average that led to it."""
    if not isinstance(content, Mapping):
        return None, None
    inner = {name: value for name, value in content.items() if isinstance(value, Mapping)}
    if not inner:
        return (content if any(isinstance(value, Tensor) for value in content.values()) else None), None
    for name in (*AVERAGED, *ENTRIES):
        if name in inner:
            found, average = _find_weights(inner[name])
            if found is not None:
                return found, name if name in AVERAGED else average
    others = [value for value in inner.values() if _is_state_dict(value)]
    return (others[0] if len(others) == 1 else None), None


def _is_state_dict(value: Mapping[Any, Any]) -> bool:
    return bool(value) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def _tensors(found: Mapping[str, Any], whose: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a mapping, and its other entries; only names without a dot may be such.

    Raises:
        InputError: something of a layer is no tensor.
    """
    tensors, others = {}, {}
    for name, value in found.items():
        if isinstance(name, str) and isinstance(value, Tensor):
            tensors[name] = value
        elif not isinstance(name, str) or ("." in name and not name.endswith("_extra_state")):
            raise InputError(f"{whose} must map names to tensors, got {name!r}: {type(value).__name__}")
        else:
            others[name] = value
    return tensors, others


def _averaged_copy(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str | None]:
    """Return those of the tensors that are an average of the others, without its prefix; without such, all of them."""
    for prefix in AVERAGED:
        own = {n.removeprefix(f"{prefix}."): value for n, value in tensors.items() if n.startswith(f"{prefix}.")}
        others = {_plain(name) for name in tensors if not name.startswith(f"{prefix}.")}
        if own and (not others or others <= {_plain(name) for name in own}):
            return own, prefix
    return tensors, None


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    faults = [
        name for name, value in tensors.items() if value.is_floating_point() and not value.float().isfinite().all()
    ]
    if faults:
        raise InputError(f"{path} holds weights that are NaN or infinite: {_list(faults)}")


def _list(names: Iterable[Any]) -> str:
    names = [str(name) for name in names]
    more = f", and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return (", ".join(names[:N_NAMED]) or "none") + more
