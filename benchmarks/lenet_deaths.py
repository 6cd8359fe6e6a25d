"""How many LeNets die while the learning rate is the push–pull paper's 0.1, by what the paper leaves open.

A training is dead if its loss is above 2.2 (ln 10 = 2.3) at the end of the ten epochs, of 30, in which the rate is 0.1.
10,000 images of MNIST as a folder of PNG files (6,667 to train on), two cores of a busy machine, 2026-11; five seeds of
each of A, B, C and D, of the last row of PB and PD too (--letters). Dead, and the median validation error of
the others, as an earlier form of this script printed them (the same seeds and draws; it ended a training of which five
epochs stayed above 2.25):

    nothing chosen (batch 128, torch's start, standardised)  1 of 20   8.6 %
    input in [0, 1]                                          2 of 20   6.1 %
    input in [−1, 1]                                         3 of 20   4.1 %
    batch 64                                                 4 of 20  10.1 %
    batch 256                                                3 of 20  14.8 %
    He's start                                              10 of 20   7.4 %
    Glorot's start                                           2 of 20   6.8 %
    gradients of norm 1 at most                              0 of 30   4.0 %

The loss stays near 2.3 for some 30 steps; where a network leaves it, the gradient grows from a norm of 0.2 to 7 and
more within some steps, and at this rate with momentum 0.9 one such step can leave no unit that answers to anything.

Run: python -m benchmarks.lenet_deaths --dataset folder:MNIST [--only "batch 64"] [--letters A B C D PB PD]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from engine.data import DataSet
from engine.metrics import classification_error
from engine.seeds import global_draws
from engine.settings import TrialConfig
from engine.stages import prepare_data
from engine.stages.network import build_network, set_input_statistics
from engine.store import open_store
from engine.training import Trainer, recipe_settings
from engine.training.loop import TrainingDivergedError

EPOCHS, WHOLE, FIRST_SEED = 10, 30, 100
DEAD_LOSS = 2.2


@dataclass(frozen=True)
class Variant:
    """What is chosen: settings over the recipe's, the start of the weights, mean and deviation of the input."""

    settings: dict[str, Any] = field(default_factory=dict)
    start: Callable[[torch.Tensor], object] | None = None
    statistics: tuple[float, float] | None = None
    shortened: bool = False


def he(weight: torch.Tensor) -> object:
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


VARIANTS = {
    "nothing chosen": Variant(),
    "input in [0, 1]": Variant(statistics=(0.0, 1.0)),
    "input in [-1, 1]": Variant(statistics=(0.5, 0.5)),
    "batch 64": Variant({"pretrain.batch_size": 64}),
    "batch 256": Variant({"pretrain.batch_size": 256}),
    "He's start": Variant(start=he),
    "Glorot's start": Variant(start=nn.init.xavier_uniform_),
    "gradients of norm 1 at most": Variant(shortened=True),
}


def train(variant: Variant, arm: str, data: DataSet, *, seed: int) -> tuple[bool, float]:
    """Return whether a training dies at the highest rate, and its validation error then."""
    longest = {} if variant.shortened else {"pretrain.max_gradient_norm": None}
    settings = {**recipe_settings("lenet"), **longest, "pretrain.epochs": WHOLE, **variant.settings}
    inhibited = {"where": "first", "h": 2.0, "alpha": 1.0, "learn_alpha": None} if len(arm) > 1 else None
    built = {"name": f"lenet-{arm[-1].lower()}", "width": None, "num_classes": data.n_classes}
    shape = {"in_channels": data.channels, "image_size": data.train.images.shape[-1], "push_pull": inhibited}
    network = build_network({**built, **shape}, seed=seed)
    set_input_statistics(network, data)
    if variant.statistics is not None:
        network.normalise.set_statistics(*variant.statistics)
    if variant.start is not None:
        with global_draws(seed, "initialise"):
            for module in network.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    variant.start(module.weight)
                    nn.init.zeros_(module.bias)
    network.to(memory_format=torch.channels_last)

    def judge(module: nn.Module) -> dict[str, float]:
        return {"validation_error": classification_error(module, data.validation)}

    training = TrialConfig().with_settings(settings).pretrain
    trainer = Trainer(network, data.train, training, seed=seed, judge=judge)
    try:
        for _ in range(EPOCHS):
            record = trainer.train_epoch()
    except TrainingDivergedError:
        return True, 1.0
    return record["loss"] > DEAD_LOSS, record["validation_error"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--dataset", default="mnist")
    options.add_argument("--only", nargs="*", choices=[*VARIANTS], default=[*VARIANTS])
    options.add_argument("--letters", nargs="*", default=["A", "B", "C", "D"])
    options.add_argument("--seeds", type=int, default=5)
    given = options.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        base = TrialConfig().with_settings({**recipe_settings("lenet"), "data.name": given.dataset})
        _, data = prepare_data(base.data, open_store(folder))
    for name in given.only:
        arms = {
            arm: [train(VARIANTS[name], arm, data, seed=FIRST_SEED + n) for n in range(given.seeds)]
            for arm in given.letters
        }
        counts = ", ".join(f"{arm} {sum(dead for dead, _ in found)}" for arm, found in arms.items())
        every = [one for found in arms.values() for one in found]
        alive = [error for dead, error in every if not dead]
        middle = f"{100 * statistics.median(alive):.1f} %" if alive else "–"
        print(
            f"{name:28} dead {sum(dead for dead, _ in every)} of {len(every)} ({counts}); others {middle}", flush=True
        )


if __name__ == "__main__":
    main()
