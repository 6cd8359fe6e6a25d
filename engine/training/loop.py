"""The training loop: epochs over images that live on the device, the best epoch by validation, exact resumption.

Whatever is random in an epoch is drawn from (seed, purpose, epoch), dropout and what else the module draws by itself
included, so an epoch does not depend on whether the ones before it ran in the same process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data import Split, alternate_flips, apply_crop_flips, draw_crop_flips
from engine.data.augment import CropFlips
from engine.data.streamed import in_batches
from engine.layers.strided import RightGradients
from engine.metrics import as_input
from engine.precision import in_full, network_pass
from engine.seeds import generator, global_draws
from engine.settings import TrainingSettings
from engine.training.captured import Capturing
from engine.training.compiled import Compiling, Passes, compiled
from engine.training.optimizers import make_optimizer, shorten_gradients
from engine.training.perturbation import Perturbation
from engine.training.relative_rates import N_BATCHES, RelativeRates
from engine.training.schedules import learning_rate
from engine.training.state import load_optimizer_tensors, optimizer_tensors, under_prefix, with_prefix

Record = dict[str, Any]
Judge = Callable[[nn.Module], Mapping[str, float]]
Loss = Callable[[Tensor, Tensor], Tensor]


class TrainingDivergedError(Exception):
    """The loss became NaN or infinite; the message gives epoch and learning rate."""


@dataclass
class TrainingState:
    """Where a training stands after an epoch: all that is needed to go on.

    Attributes:
        epoch: epochs done.
        best_epoch: the epoch (counted from 1) with the best validation result; 0 before the first.
        best_score: (validation error, validation loss) of it, as far as judged.
        best: the module's state after it.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_score: tuple[float, ...] = (math.inf,)
    best: dict[str, Tensor] = field(default_factory=dict)


class Trainer:
    """Trains a module's parameters on a split.

    Args:
        module: float images (n, c, h, w) in [0, 1] in, logits out; its parameters that require gradients are trained,
            and its state dict is what is kept as the best.
        split: the training images, on the module's device.
        settings: how.
        seed: what order, augmentation and the module's own draws come from.
        judge: measures the module after an epoch; "validation_error" decides which epoch is best (ties by
            "validation_loss", then the earlier one).
        capturing: has steps replayed on a GPU; None where all are taken eagerly.
        compiling: has passes through the module compiled; None where none are.
        rates: gives parts of the module learning rates of their own; None for one rate.
        loss: of logits and labels, in the place of the cross-entropy; None for that.
        perturbation: what the images undergo behind crops and flips; None for nothing.
    """

    def __init__(
        self,
        module: nn.Module,
        split: Split,
        settings: TrainingSettings,
        *,
        seed: int,
        judge: Judge,
        capturing: Capturing | None = None,
        compiling: Compiling | None = None,
        rates: RelativeRates | None = None,
        loss: Loss | None = None,
        perturbation: Perturbation | None = None,
    ) -> None:
        self.module = module
        self.split = split
        self.settings = settings
        self.seed = seed
        self.judge = judge
        self.capturing = capturing
        self.compiling = compiling
        self.rates = rates
        self.loss = loss
        self.perturbation = perturbation
        self.state = TrainingState()
        self._watch: AbstractContextManager[Any] = RightGradients()
        self.optimizer = make_optimizer(module, settings)

    @property
    def finished(self) -> bool:
        """Return whether all epochs are done, or validation has not improved for ``patience`` epochs."""
        patience = self.settings.patience
        stale = patience is not None and self.state.epoch - self.state.best_epoch >= patience
        return self.state.epoch >= self.settings.epochs or stale

    def train_epoch(self) -> Record:
        """Train one epoch, judge the result and return its record.

        Raises:
            TrainingDivergedError: the loss, or what was judged after it, became NaN or infinite.
        """
        with global_draws(self.seed, "module", self.state.epoch, device=self.split.labels.device):
            return self._train_and_judge()

    def _train_and_judge(self) -> Record:
        start = time.perf_counter()
        loss, rate = self._pass_over_images()
        epoch = self.state.epoch = self.state.epoch + 1
        if not math.isfinite(loss):
            raise TrainingDivergedError(f"loss became {loss} in epoch {epoch} at learning rate {rate:.3g}")
        self.module.eval()
        judged = {name: float(value) for name, value in self.judge(self.module).items()}
        for name, value in judged.items():  # the last step may be the one that diverges
            if not math.isfinite(value):
                raise TrainingDivergedError(f"{name} became {value} in epoch {epoch} at learning rate {rate:.3g}")
        score = (judged["validation_error"], judged.get("validation_loss", 0.0))
        if score < self.state.best_score:
            self.state.best_epoch, self.state.best_score = epoch, score
            self.state.best = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
        seconds = time.perf_counter() - start
        return {"epoch": epoch, "loss": loss, "learning_rate": rate, **judged, "seconds": round(seconds, 4)}

    def _pass_over_images(self) -> tuple[float, float]:
        """Take a step on every batch of one shuffled pass; return the mean loss and the last learning rate."""
        self.module.train()
        settings, epoch, device = self.settings, self.state.epoch, self.split.labels.device
        order = torch.randperm(len(self.split), generator=generator(self.seed, "order", epoch))
        batches = _batches(order.to(device), settings.batch_size)
        images_of = self.split.images
        read = batches if isinstance(images_of, Tensor) else _batches(order, settings.batch_size)  # no wait for these
        crops = self._crops(order, [len(positions) for positions in batches])
        if self.rates is not None:
            self.rates.measure(self.module, self._first_losses(batches, read, crops))
        total, rate = torch.zeros((), device=device), 0.0
        for step, (positions, images) in enumerate(zip(batches, in_batches(images_of, read), strict=True)):
            rate = learning_rate(settings, (epoch + step / len(batches)) / settings.epochs)
            if crops is not None:
                images = apply_crop_flips(images, crops[step])
            if self.perturbation is not None:
                images = self.perturbation.views(images, positions, epoch, step)
            total += self._step(images, self.split.labels[positions], rate) * len(positions)
        if self.capturing is not None:
            self.capturing.leave(self.module, self.optimizer)
        return float(total) / len(self.split), rate

    def _step(self, images: Tensor, labels: Tensor, rate: float) -> Tensor:
        """Take a step on a batch; return its mean loss."""
        settings = self.settings
        passes = self._compiled(images)
        if self.capturing is not None:
            self.capturing.passes = None if passes is None else compiled
            loss = self.capturing.take(self.module, self.optimizer, settings, (images, labels), rate)
            if loss is not None:
                return loss
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss(self._forward(images, passes), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        shorten_gradients(self.optimizer, settings.max_gradient_norm)
        with nullcontext() if self.rates is None else self.rates.scaled(self.module):
            self.optimizer.step()
        return loss.detach()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch; behind the logits that the labels are of may be those of further views."""
        labelled, *others = logits.split(len(labels)) if self.perturbation is not None else (logits,)
        if self.loss is None:
            loss = F.cross_entropy(labelled, labels, label_smoothing=self.settings.label_smoothing)
        else:
            loss = self.loss(labelled, labels)
        penalty = None if self.perturbation is None else self.perturbation.penalty((labelled, *others))
        return loss if penalty is None else loss + penalty

    def _first_losses(
        self, batches: list[Tensor], read: list[Tensor], crops: list[CropFlips] | None
    ) -> Iterator[Callable[[], Tensor]]:
        """Yield what computes the loss of each of an epoch's first batches, without label smoothing."""
        first = zip(batches, in_batches(self.split.images, read[:N_BATCHES]), strict=False)
        for step, (positions, images) in enumerate(first):
            changed = images if crops is None else apply_crop_flips(images, crops[step])
            labels = self.split.labels[positions]
            yield lambda images=changed, labels=labels: F.cross_entropy(self._forward(images), labels)  # type: ignore[misc]

    def _crops(self, order: Tensor, sizes: list[int]) -> list[CropFlips] | None:
        """Return how the images of each batch are augmented in this epoch; None where they are not.

        All of it is drawn before the first step and moved at once: no step waits for the host.

        Args:
            order: the epoch's, on the CPU.
            sizes: of the batches.
        """
        settings, epoch, flips = self.settings, self.state.epoch, None
        if settings.augmentation == "none":
            return None
        if settings.augmentation == "crop-alternate":
            flips = alternate_flips(len(self.split), epoch, generator=generator(self.seed, "flips"))[order]
        draws = generator(self.seed, "augmentation", epoch)
        drawn = draw_crop_flips(sizes, self.split.images.shape[3], generator=draws, flip=flips)
        return drawn.to(self.split.labels.device).split(sizes)

    def _compiled(self, images: Tensor) -> Passes | None:
        """Return the compiled passes of a batch, or None where it is to go through the module as it is."""
        if self.compiling is None:
            return None
        return self.compiling.passes(self.module, images, self.settings.batch_size)

    def _forward(self, images: Tensor, passes: Passes | None = None) -> Tensor:
        """Return the logits of a batch.

        The first one shows whether the others' convolutions need to be watched too; of compiled passes none do.
        """
        if passes is not None:
            with network_pass(images.device):
                return in_full(passes(as_input(images)))
        with self._watch as watch, network_pass(images.device):
            logits: Tensor = self.module(as_input(images))
        if watch is not None and not watch.n_found:
            self._watch = nullcontext()
        return in_full(logits)

    def load_best(self) -> None:
        """Put the best epoch's state into the module and leave it in evaluation mode."""
        self.module.load_state_dict(self.state.best)
        self.module.eval()

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the state after the last epoch as named tensors and a JSON value."""
        tensors = with_prefix("last", dict(self.module.state_dict()))
        tensors |= with_prefix("best", self.state.best)
        tensors |= with_prefix("optimizer", optimizer_tensors(self.optimizer))
        state = {
            "epoch": self.state.epoch,
            "best_epoch": self.state.best_epoch,
            "best_score": list(self.state.best_score),
        }
        return tensors, state

    def restore(self, tensors: dict[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from a ``checkpoint``."""
        device = self.split.labels.device
        self.module.load_state_dict(under_prefix("last", tensors))
        load_optimizer_tensors(self.optimizer, under_prefix("optimizer", tensors))
        best = {name: tensor.to(device) for name, tensor in under_prefix("best", tensors).items()}
        self.state = TrainingState(state["epoch"], state["best_epoch"], tuple(state["best_score"]), best)


def _batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an order into batches; a last batch of one image joins the one before it (BatchNorm needs two)."""
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] = torch.cat([batches[-1], last])
    return batches
