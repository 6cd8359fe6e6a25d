"""A pretend GPU: tensors that say they lie on ``cuda:0``, and are computed on the CPU.

It has the rules of a device with a memory of its own (a tensor of the host beside one of the device is refused, as is
a generator of the host for draws on the device) and counts what costs time there: launches of kernels, copies between
host and device, and waits of the host for the device. A wait is whatever needs a value of the device on the host
(``item``, ``bool``, ``nonzero``, a mask as an index, a copy to the host), and a copy to the device that is not
asynchronous.

What it cannot tell is whether kernels of a real device give the same numbers, and how long anything takes.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.optim import optimizer as optimizers
from torch.utils import _foreach_utils
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from engine.data import Split

DEVICE = torch.device("cuda:0")
MEMORY = 2**30
"""Bytes that it says are free."""
HOST = torch.device("cpu")
_ENGINE = str(Path(__file__).parents[2] / "engine")

_NO_KERNEL = {
    *("view", "_unsafe_view", "_reshape_alias", "expand", "permute", "transpose", "t", "select", "slice", "unsqueeze"),
    *("squeeze", "as_strided", "detach", "alias", "split", "split_with_sizes", "unbind", "unfold", "diagonal", "lift"),
    *("lift_fresh", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_local_scalar_dense"),
}
"""Operations that look at a tensor in another way, or only take memory."""

_ANSWERS = {
    *("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim"),
    *("unique_consecutive", "unique_dim_consecutive", "repeat_interleave", "_linalg_eigh", "linalg_qr"),
}
"""Operations after which the host waits: for a value, for the size of what comes out, or for a solver's report."""

_TAKE_BOTH = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_"}
"""Operations that take tensors of the host and of the device together."""


class DeviceRuleError(RuntimeError):
    """What a real device would refuse."""


class Counts:
    """What a piece of work asked of the device.

    Attributes:
        launches: kernels, by operation.
        copies: between host and device, by direction: "to device", "to host".
        waits: of the host for the device, by what they were for and by the engine's line that asked.
    """

    def __init__(self) -> None:
        self.launches: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    @property
    def n_launches(self) -> int:
        """Return how many kernels were launched."""
        return self.launches.total()

    @property
    def n_waits(self) -> int:
        """Return how often the host waited."""
        return self.waits.total()

    def wait(self, reason: str) -> None:
        """Note a wait at the engine's line that is at work."""
        self.waits[f"{reason} at {_line_of_engine()}"] += 1

    def copy(self, direction: str, *, is_asynchronous: bool) -> None:
        """Note a copy; the host waits for one unless it is asynchronous and goes to the device."""
        self.copies[direction] += 1
        if direction == "to host" or not is_asynchronous:
            self.wait(f"copy {direction}")


class OnDevice(Tensor):
    """A tensor of the pretend device: torch's C++ takes it for one of the CPU, Python for one of ``cuda:0``."""

    _held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=HOST,
        )
        made._held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _run(func, args, kwargs or {})

    device = property(lambda self: DEVICE)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def __init__(self, held: Tensor) -> None:
        pass

    def __repr__(self) -> str:
        return f"OnDevice({tuple(self.shape)}, {self.dtype})"

    def __deepcopy__(self, memo: dict[int, Any]) -> OnDevice:
        made = OnDevice(self._held.detach().clone())
        made.requires_grad_(self.requires_grad)
        if isinstance(self, nn.Parameter):
            made = nn.Parameter(made.detach(), requires_grad=self.requires_grad)
        memo[id(self)] = made
        return made

    def get_device(self) -> int:
        return 0

    def data_ptr(self) -> int:
        return self._held.data_ptr()

    def cuda(self, *args: Any, **kwargs: Any) -> OnDevice:
        return self

    def cpu(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.to(HOST)

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise DeviceRuleError(f"a tensor of {DEVICE} is no array: copy it to the host first")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self.numpy()

    def new_tensor(self, data: Any, *, dtype: torch.dtype | None = None, **others: Any) -> Tensor:
        return torch.tensor(data, dtype=dtype or self.dtype, device=DEVICE)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        place, dtype, non_blocking, layout = torch._C._nn._parse_to(*_without_copy(args), **_plain(kwargs))
        if args and isinstance(args[0], Tensor):
            place, dtype = args[0].device, args[0].dtype
        dtype = dtype or self.dtype
        if place is not None and place.type == "cpu":
            return torch.ops.aten._to_copy(self, device=HOST, dtype=dtype, non_blocking=non_blocking)
        found = self if dtype == self.dtype else torch.ops.aten._to_copy(self, dtype=dtype)
        found = found.clone() if kwargs.get("copy") and found is self else found
        return found if layout is None else found.contiguous(memory_format=layout)


def _without_copy(args: tuple) -> tuple:
    """Return the arguments of ``Tensor.to`` as far as torch's own parser takes them."""
    if args and isinstance(args[0], Tensor):
        return (HOST, args[0].dtype)
    return args


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != "copy"}


_counts: list[Counts] = []
recorders: list[Callable[[Any, tuple, dict[str, Any], Any], None]] = []
"""Are told each operation on the device: its arguments and what it made, as tensors of the host."""
waits_refused: list[Counts] = []
"""Are told of waits, and may refuse them."""


def _line_of_engine() -> str:
    """Return the innermost line of the engine that is at work: "folder/file.py:12"."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_ENGINE):
            return f"{Path(path).relative_to(_ENGINE)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "a test"


def _run(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU by the device's rules, and count it."""
    name = func._schema.name.split("::")[1]
    tensors = [value for value in pytree.tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, OnDevice)]
    asked = kwargs.get("device")
    to_host = asked is not None and torch.device(asked).type == "cpu"
    to_device = asked is not None and torch.device(asked).type == "cuda"
    in_backward = torch._C._current_autograd_node() is not None
    if in_backward and name != "_to_copy":  # autograd asks for zeros and the like where C++ takes the tensors to be
        to_host, to_device = False, to_device or (asked is not None and not tensors)
    if not ours and not to_device:
        return func(*args, **kwargs)
    on_device = to_device or not to_host
    if name not in _TAKE_BOTH and ours and not in_backward:
        _check_place(func, [tensor for tensor in tensors if not isinstance(tensor, OnDevice)])
    if name.strip("_").startswith("index") and not isinstance(args[0], OnDevice):
        raise DeviceRuleError(f"{func} of a tensor of the host by places on {DEVICE}, at {_line_of_engine()}")
    drawing = kwargs.get("generator")
    if drawing is not None and drawing.device.type == "cpu":
        raise DeviceRuleError(f"{func} draws on {DEVICE} with a generator of the host, at {_line_of_engine()}")
    for counts in [*_counts[-1:], *waits_refused]:
        _count(counts, name, args, kwargs, on_device=on_device)
    held = {**pytree.tree_map_only(OnDevice, lambda tensor: tensor._held, kwargs)}
    if asked is not None:
        held["device"] = HOST
    if name == "_to_copy":
        held.pop("non_blocking", None)
    held_args = pytree.tree_map_only(OnDevice, lambda tensor: tensor._held, args)
    with _right_gradients(name, args):
        found = func(*held_args, **held)
    for note in recorders:
        note(func, held_args, held, found)
    if name == "copy_":
        return args[0]
    if not on_device:
        same = name == "_to_copy" and found is args[0]._held
        return found.clone() if same else found
    known = {id(tensor._held): tensor for tensor in ours}  # what is written over in place stays the same tensor
    return pytree.tree_map_only(
        Tensor, lambda tensor: known[id(tensor)] if id(tensor) in known else OnDevice(tensor), found
    )


def _right_gradients(name: str, args: tuple) -> contextlib.AbstractContextManager[Any]:
    """Keep from oneDNN what overruns its memory on CPUs (``engine.layers.strided``); GPUs have kernels of their own."""
    if name.startswith("convolution"):
        weight = args[1] if name == "convolution" else args[2]
        if tuple(weight.shape[2:]) == (1, 1):
            return torch.backends.mkldnn.flags(enabled=False)
    return contextlib.nullcontext()


def _check_place(func: Any, of_host: list[Tensor]) -> None:
    if any(tensor.ndim for tensor in of_host):  # numbers of the host are taken
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in of_host)
        raise DeviceRuleError(f"{func} takes tensors of {DEVICE} and of the host ({shapes}), at {_line_of_engine()}")


def _count(counts: Counts, name: str, args: tuple, kwargs: dict[str, Any], *, on_device: bool) -> None:
    if name in ("_to_copy", "copy_"):
        source, target = (args[0], on_device) if name == "_to_copy" else (args[1], isinstance(args[0], OnDevice))
        is_asynchronous = bool(kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))
        if isinstance(source, OnDevice) != target:
            counts.copy("to device" if target else "to host", is_asynchronous=is_asynchronous)
            return
    if name in _ANSWERS:
        counts.wait(name)
    if name in _TAKE_BOTH and name.strip("_").startswith("index"):
        for index in args[1]:
            if isinstance(index, OnDevice) and index.dtype in (torch.bool, torch.uint8):
                counts.wait("mask as an index")
            elif isinstance(index, Tensor) and not isinstance(index, OnDevice):
                counts.copy("to device", is_asynchronous=False)
    if name not in _NO_KERNEL:
        counts.launches[name] += 1


class _Places(TorchDispatchMode):
    """Sees what has no tensor of the device yet: what is made there, and what is copied there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _run(func, args, kwargs or {})


@contextlib.contextmanager
def pretend_device() -> Iterator[None]:
    """Have ``cuda:0`` be the pretend device."""
    forget_tables()
    lifted = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(…, device=…)` copies where it is seen
    overwritten = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter of the host becomes none of ours
    known_types = optimizers._foreach_supported_types
    try:
        with (
            patch("torch.cuda._lazy_init", lambda: None),
            patch("torch.cuda.mem_get_info", lambda device=None: (MEMORY, MEMORY)),
            patch("torch.cuda.get_per_process_memory_fraction", lambda device=None: 1.0),
            patch("torch.cuda.random._lazy_init", lambda: None),
            patch("torch.cuda.default_generators", (torch.Generator(),)),
            patch.object(optimizers, "_foreach_supported_types", [*known_types, OnDevice]),
            patch.object(optimizers, "_group_tensors_by_device_and_dtype", _groups_of_device),
            _Places(),
        ):
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(lifted)
        torch.__future__.set_overwrite_module_params_on_conversion(overwritten)
        forget_tables()


def _groups_of_device(tensors: list[list[Tensor | None]], with_indices: bool = False) -> dict[Any, Any]:
    """Return what torch does, which takes all for tensors of the CPU."""
    found = _foreach_utils._group_tensors_by_device_and_dtype(tensors, with_indices)
    is_ours = any(isinstance(tensor, OnDevice) for row in tensors for tensor in row)
    return {(DEVICE if is_ours else place, dtype): group for (place, dtype), group in found.items()}


def forget_tables() -> None:
    """Have the engine make anew what it keeps on a device: a real one must not be given what lies on this one."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("engine.corruptions.", "engine.ranking.")):
            for kept in list(vars(module).values()):
                if isinstance(kept, functools._lru_cache_wrapper):
                    kept.cache_clear()


@contextlib.contextmanager
def counting() -> Iterator[Counts]:
    """Count what is asked of the device meanwhile."""
    _counts.append(Counts())
    try:
        yield _counts[-1]
    finally:
        _counts.pop()


def on_device(value: Any) -> Any:
    """Return a tensor, a split or a module (in place) on the pretend device; nothing of it is counted."""
    if isinstance(value, Split):
        return Split(*(on_device(tensor) for tensor in (value.images, value.labels, value.indices)))
    if isinstance(value, nn.Module):
        return _module_on_device(value)
    return value if isinstance(value, OnDevice) else OnDevice(value.detach().clone())


def _module_on_device(module: nn.Module) -> nn.Module:
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                moved = nn.Parameter(on_device(parameter), requires_grad=parameter.requires_grad)
                part._parameters[name] = moved
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = on_device(buffer)
    return module


def on_host(value: Tensor) -> Tensor:
    """Return a tensor's values; not counted."""
    return value._held.detach().clone() if isinstance(value, OnDevice) else value
