"""A training's step on a GPU, recorded once as a CUDA graph and replayed: forward, backward and optimiser.

An eager step of a small network is a few hundred kernels, and the GPU waits for Python to launch them. A replay is one
launch. It computes in memory of its own: a copy of the module, its gradients and its optimiser's state, the batch, the
learning rate and the weight decay. So whoever trains copies his weights in before the first step of an epoch and out
after the last; a batch of another size, such as an epoch's last one, is taken eagerly between the two.

Recorded modules are kept for the next trainings of the same network: seed, learning rate, schedule and weight decay are
no part of what is recorded. All this was never run on a real GPU, and is off unless asked for.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.metrics.classification import as_input
from engine.precision import current_precision, in_full, network_pass
from engine.settings import TrainingSettings
from engine.training.optimizers import decay_groups, shorten_gradients
from engine.training.warned_once import warn_once

_N_KEPT = 4
"""Recorded steps that are kept: each holds a network, its gradients, and the activations of a batch."""
_N_WARM = 3
"""Steps before the recording, in which libraries choose their kernels and take their memory."""

_kept: OrderedDict[Hashable, CapturedStep] = OrderedDict()


class CapturedStep:
    """A step that was recorded for one kind of module, optimiser and batch.

    Args:
        module: whose copy is trained; it stays as it is.
        settings: how; learning rate and weight decay may be others later.
        images: a batch as every one will be, on the GPU.
        labels: its labels.
        passes: makes what images go through of the copy; the copy itself if not given.

    Raises:
        Exception: it cannot be recorded: the forward pass asks for a value on the host, say.
    """

    def __init__(
        self,
        module: nn.Module,
        settings: TrainingSettings,
        images: Tensor,
        labels: Tensor,
        passes: Callable[[nn.Module], Callable[[Tensor], Tensor]] | None = None,
    ) -> None:
        self._module = copy.deepcopy(module).train(module.training)
        self._passes = self._module if passes is None else passes(self._module)
        self._smoothing, self._longest = settings.label_smoothing, settings.max_gradient_norm
        self._images, self._labels = images.clone(), labels.clone()
        self._rate, self._decay = (torch.zeros((), device=images.device) for _ in range(2))
        groups = decay_groups(self._module, settings.weight_decay)
        self._decaying = [one for group in groups if group["weight_decay"] for one in group["params"]]
        self._optimizer = self._make_optimizer([one for group in groups for one in group["params"]], settings)
        self._n_steps = 0.0
        with torch.random.fork_rng(devices=[images.device.index or 0]):  # eager steps would not have drawn
            self._record(images.device)

    def _make_optimizer(self, parameters: list[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
        """Return an optimiser that reads its rate from the GPU; a rate that is a number would be recorded with it."""
        if settings.optimizer == "adam":
            return torch.optim.Adam(parameters, lr=self._rate, fused=True, capturable=True)
        momentum = settings.momentum
        return torch.optim.SGD(parameters, lr=self._rate, momentum=momentum, nesterov=momentum > 0, fused=True)

    def _record(self, device: torch.device) -> None:
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_N_WARM):
                self._optimizer.zero_grad(set_to_none=True)
                self._step()
        torch.cuda.current_stream(device).wait_stream(side)
        self._optimizer.zero_grad(set_to_none=True)  # so that the graph writes the gradients, and adds nothing to them
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=side):  # libraries keep working memory for each stream: its own
            self._loss = self._step()

    def _step(self) -> Tensor:
        with network_pass(self._labels.device):
            logits = self._passes(as_input(self._images))
        loss = F.cross_entropy(in_full(logits), self._labels, label_smoothing=self._smoothing)
        loss.backward()
        shorten_gradients(self._optimizer, self._longest)
        if self._decaying:
            gradients = [one.grad for one in self._decaying if one.grad is not None]
            values = [one.detach() for one in self._decaying if one.grad is not None]
            torch._foreach_add_(gradients, torch._foreach_mul(values, self._decay))
        self._optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def load(self, module: nn.Module, optimizer: torch.optim.Optimizer, *, weight_decay: float) -> None:
        """Take over weights, buffers and the optimiser's state; no value of the GPU is asked for."""
        _copy(_tensors(module), _tensors(self._module))
        self._decay.fill_(weight_decay)
        states = [optimizer.state.get(one, {}) for one in _parameters(optimizer)]
        for name in self._state_names():
            own = [self._optimizer.state[one][name] for one in _parameters(self._optimizer)]
            given = [state.get(name) for state in states]
            if name == "step":  # an eager optimiser counts on the host
                self._n_steps = float(given[0]) if given and given[0] is not None else 0.0
                torch._foreach_zero_(own)
                torch._foreach_add_(own, self._n_steps)
            elif any(value is None for value in given):  # none has been taken: zeros are what the first one begins with
                torch._foreach_zero_(own)
            else:
                _copy(given, own)

    def __call__(self, images: Tensor, labels: Tensor, rate: float) -> Tensor:
        """Take a step on a batch; return its mean loss, which the next one overwrites."""
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._rate.fill_(rate)
        self._graph.replay()
        self._n_steps += 1
        return self._loss

    @torch.no_grad()
    def store(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Give weights, buffers and the optimiser's state back."""
        _copy(_tensors(self._module), _tensors(module))
        pairs = list(zip(_parameters(self._optimizer), _parameters(optimizer), strict=True))
        for name in self._state_names():
            if name == "step":
                for _, theirs in pairs:
                    optimizer.state[theirs][name] = torch.tensor(self._n_steps)
                continue
            for _, theirs in pairs:
                if optimizer.state[theirs].get(name) is None:
                    optimizer.state[theirs][name] = torch.empty_like(theirs, requires_grad=False)
            own = [self._optimizer.state[ours][name] for ours, _ in pairs]
            _copy(own, [optimizer.state[theirs][name] for _, theirs in pairs])

    def _state_names(self) -> list[str]:
        state = self._optimizer.state[_parameters(self._optimizer)[0]]
        return [name for name, value in state.items() if value is not None]


class Capturing:
    """Has the steps of one training replayed as far as they can be, and says why where they cannot.

    Args:
        architecture: what tells modules apart whose steps are other ones, so that a recorded step can serve the next
            training; None where nothing does: what is recorded then serves this training alone.

    Attributes:
        reason: why steps are taken eagerly; "" while they are not.
        passes: as of ``CapturedStep``; whoever has them compiled says so before the first step.
    """

    def __init__(self, architecture: str | None = None) -> None:
        self.reason = ""
        self.passes: Callable[[nn.Module], Callable[[Tensor], Tensor]] | None = None
        self._architecture = architecture
        self._step: CapturedStep | None = None
        self._is_ahead = False

    def take(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: TrainingSettings,
        batch: tuple[Tensor, Tensor],
        rate: float,
    ) -> Tensor | None:
        """Take a step; return its mean loss, or None where it is to be taken eagerly, the module being up to date."""
        images, labels = batch
        if self.reason or len(images) != settings.batch_size:
            self.leave(module, optimizer)
            return None
        if self._step is None:
            try:
                self._step = self._recorded(module, settings, images, labels)
            except Exception as error:  # whatever cannot be recorded can be computed as it always was
                self.reason = f"{type(error).__name__}: {error}".partition("\n")[0]
                warn_once(f"the steps of a training are taken eagerly, since they cannot be recorded: {self.reason}")
                return None
        if not self._is_ahead:
            self._step.load(module, optimizer, weight_decay=settings.weight_decay)
            self._is_ahead = True
        return self._step(images, labels, rate)

    def leave(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Bring module and optimiser up to date, if steps were replayed since."""
        if self._is_ahead and self._step is not None:
            self._step.store(module, optimizer)
        self._is_ahead = False

    def described(self) -> dict[str, object]:
        """Return what a record should say of the steps."""
        return {"captured": not self.reason, **({"reason": self.reason} if self.reason else {})}

    def _recorded(self, module: nn.Module, settings: TrainingSettings, images: Tensor, labels: Tensor) -> CapturedStep:
        if images.device.type != "cuda":
            raise ValueError(f"steps are recorded on GPUs alone, got {images.device.type}")
        if self._architecture is None:
            return CapturedStep(module, settings, images, labels, self.passes)
        key = (
            self._architecture,
            (images.shape, images.dtype, images.stride(), str(images.device)),
            (settings.optimizer, settings.momentum if settings.optimizer == "sgd" else None),
            (settings.label_smoothing, settings.max_gradient_norm, settings.weight_decay > 0),
            (current_precision(), torch.are_deterministic_algorithms_enabled(), self.passes is None),
        )
        if key not in _kept:
            _kept[key] = CapturedStep(module, settings, images, labels, self.passes)
            while len(_kept) > _N_KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return _kept[key]


def forget_captured() -> None:
    """Forget all recorded steps, and give up the memory that they hold."""
    _kept.clear()


def _tensors(module: nn.Module) -> list[Tensor]:
    return [value.detach() for value in chain(module.parameters(), module.buffers())]


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return list(_each(optimizer))


def _each(optimizer: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    for group in optimizer.param_groups:
        yield from group["params"]


def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    if targets:
        torch._foreach_copy_(targets, sources)
