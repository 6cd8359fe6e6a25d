"""Networks as programs that run without this project: of ``torch.export``, and of ONNX.

Both take any number of images. What never changes again is computed before: a pull kernel is kept as it is after its
upsampling, and an inhibition strength as a number.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.layers import PushPull2d, PushPullConv2d

IMAGES = "images"
"""The name of a program's input."""
LOGITS = "logits"
"""The name of its output."""
Run = Callable[[Tensor], Tensor]


class FixedPushPull2d(PushPull2d):
    """A push–pull layer whose pull kernel and inhibition strength are constants; made of another one, in its place."""

    _fixed_alpha: Tensor
    _fixed_pull: Tensor

    @property
    def alpha(self) -> Tensor:
        """The inhibition strength."""
        return self._fixed_alpha

    @property
    def pull_weight(self) -> Tensor:
        """The pull kernel."""
        return self._fixed_pull


class FixedPushPullConv2d(PushPullConv2d):
    """A push–pull layer of 2024 for which the range of each kernel is a constant; made of another one, in its place."""

    _fixed_range: Tensor

    @property
    def range_sum(self) -> Tensor:
        """The largest and the smallest weight of each filter, added."""
        return self._fixed_range


@torch.no_grad()
def fixed(network: nn.Module) -> nn.Module:
    """Return a copy of a network that computes the same, and has nothing left to learn."""
    copied = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    for layer in copied.modules():
        if type(layer) is PushPull2d:
            pull, alpha = layer.pull_weight.clone(), layer.alpha.clone()
            layer.__class__ = FixedPushPull2d  # its hooks and children stay
            layer.register_buffer("_fixed_pull", pull)
            layer.register_buffer("_fixed_alpha", alpha)
            del layer._steps
        elif type(layer) is PushPullConv2d:
            range_sum = layer.range_sum.clone()
            layer.__class__ = FixedPushPullConv2d
            layer.register_buffer("_fixed_range", range_sum)
    return copied


def for_program(network: nn.Module) -> nn.Module:
    """Return a network, fixed, with its tensors laid out as a file takes them, whatever suits this machine."""
    constant = fixed(network)
    for values in (*constant.parameters(), *constant.buffers()):
        values.data = values.data.contiguous()
    return constant


def write_program(network: nn.Module, example: Tensor, path: Path, about: Mapping[str, Any]) -> None:
    """Write a network as a program of ``torch.export``; what is known of it goes along as "config.json"."""
    torch.export.save(_program(network, example), path, extra_files={"config.json": json.dumps(about)})


def read_program(path: Path) -> tuple[Run, str]:
    """Return what runs a program, and what that is."""
    return torch.export.load(path).module(), f"torch {torch.__version__}"


def write_onnx(network: nn.Module, example: Tensor, path: Path, about: Mapping[str, Any]) -> None:
    """Write a network as ONNX; what is known of it goes along in its metadata, a word or JSON each."""
    with _quiet():
        made = torch.onnx.export(
            _program(network, example),
            (example,),
            input_names=[IMAGES],
            output_names=[LOGITS],
            dynamic_shapes=_shapes(),
            dynamo=True,
            verbose=False,
        )
        assert made is not None
        for name, value in about.items():
            made.model.metadata_props[f"robustune.{name}"] = value if isinstance(value, str) else json.dumps(value)
        made.save(path)


def read_onnx(path: Path) -> tuple[Run, str]:
    """Return what runs an ONNX network, and what that is: onnxruntime, or where it is not installed, ONNX's own."""
    try:
        import onnxruntime
    except ImportError:
        import onnx
        from onnx.reference import ReferenceEvaluator

        evaluator: Any = ReferenceEvaluator(str(path))
        name = f"onnx {onnx.__version__}"
    else:
        evaluator = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        name = f"onnxruntime {onnxruntime.__version__}"

    def run(images: Tensor) -> Tensor:
        (logits,) = evaluator.run(None, {IMAGES: images.contiguous().numpy()})
        return torch.from_numpy(logits)

    return run, name


def _shapes() -> tuple[dict[int, Any]]:
    """Return which sides of the images are any number."""
    return ({0: torch.export.Dim("batch", min=1)},)


def _program(network: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    """Return a network, fixed, as a program.

    Args:
        network: the network.
        example: two images or more: a program made of one would take no other number.
    """
    return torch.export.export(for_program(network), (example,), dynamic_shapes=_shapes())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own insides from the terminal."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
