"""What testing a network on corrupted images takes, beside the usual ways to do so.

    python -m benchmarks.evaluation [--images 1000] [--threads 1 2] [--workers 0 1 2]

Two things are timed, each with its usual way in the same run and in turns; and what folding saves.

- Sets that are ready: a network's passes over corrupted sets that are there as bytes, against a DataLoader that turns
  one picture after the other into a tensor. Every number of worker processes is tried, and the best one is what the
  engine is held against. Both must come to the same logits, and the same errors, first.
- Sets that have to be made: corruption and passes, against functions of NumPy and Pillow, an image at a time, in a data
  set that a DataLoader reads. Those functions give the same bytes for the same draws (``benchmarks.corruptions``
  checks it); what is timed has draws of NumPy's own, as such a program would.
- Networks whose batch normalisations are in their convolutions (``--fold-batch-norm`` of a sweep), against the same
  ones as they are, over the sets that are ready.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import functional as TF

from benchmarks.machine import describe_machine
from benchmarks.plain_corruptions import PLAIN, NumpyDraws, has_plain
from benchmarks.training import (
    BY_ITSELF,
    N_CLASSES,
    NETWORKS,
    SIDE,
    Work,
    make_network,
    make_split,
    show_best,
    time_in_turns,
)
from engine.corruptions import severity_constants
from engine.data import Split
from engine.heap import keep_freed_memory
from engine.layers.folding import fold_batch_norm
from engine.metrics import classification_error, corrupted_split, error_table, predict
from engine.models import build_model

SEVERITY = 3
MOST_APART = 1e-4
"""Of a folded network's logits, as a share of the largest one."""


class Ready(Dataset[tuple[Tensor, int]]):
    """Pictures that are corrupted already, one at a time as tensors."""

    def __init__(self, split: Split) -> None:
        self._pixels = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        self._labels = split.labels.tolist()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return TF.to_tensor(self._pixels[index]), self._labels[index]


class Made(Ready):
    """Pictures that are corrupted one at a time, as they are asked for."""

    def __init__(self, split: Split, corruption: str) -> None:
        super().__init__(split)
        self._corrupt, self._constants = PLAIN[corruption], severity_constants(corruption, SEVERITY)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        corrupted = self._corrupt(self._pixels[index], self._constants, NumpyDraws())
        return TF.to_tensor(corrupted.copy()), self._labels[index]  # some are Pillow's, which nobody may write to


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what each way takes, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--made-images", type=int, default=200, help="images of the sets that have to be made")
    parser.add_argument("--sets", type=int, default=3, help="corruptions of the sets that are ready")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="of the usual way")
    parser.add_argument("--networks", nargs="+", default=[*NETWORKS, "densenet-bc-40-12"], help="that are folded")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    print(f"{describe_machine()}, torch {torch.__version__}", flush=True)
    names = [name for name in PLAIN if has_plain(name, SEVERITY)]
    for threads in options.threads:
        torch.set_num_threads(threads)
        network = make_network("resnet-20").eval()
        ready = corrupted(make_split(options.images), names[: options.sets])
        check_equal(network, ready)
        ways: dict[str, Work] = {"engine": lambda: [classification_error(network, split) for split in ready]}  # noqa: B023
        for n_workers in options.workers:
            loaders = [DataLoader(Ready(split), 256, num_workers=n_workers) for split in ready]
            ways[f"DataLoader, {n_workers} workers"] = usual(network, loaders)
        compare(f"{len(ready)} sets of {options.images} images that are ready", ways, options.rounds)
        few = make_split(options.made_images)
        ways = {"engine": lambda: error_table(network, few, corruptions=names, severities=[SEVERITY], seed=0)}  # noqa: B023
        for n_workers in options.workers:
            loaders = [DataLoader(Made(few, name), 256, num_workers=n_workers) for name in names]
            ways[f"DataLoader, {n_workers} workers"] = usual(network, loaders)
        compare(f"{len(names)} sets of {options.made_images} images that have to be made", ways, options.rounds)
        compare_folded(options.networks, ready, options.rounds)
    print(describe_machine())


def corrupted(split: Split, names: Iterable[str]) -> list[Split]:
    """Return sets of corrupted images."""
    return [corrupted_split(split, (name, SEVERITY), seed=0, table="cifar-c") for name in names]


def check_equal(network: nn.Module, splits: Sequence[Split]) -> None:
    """Check that both ways come to the same logits, but for rounding, and the same errors.

    Raises:
        SystemExit: they do not.
    """
    largest = 0.0
    for split in splits:
        ours = predict(network, split.images)
        theirs = logits_of(network, DataLoader(Ready(split), 256))
        largest = max(largest, float((ours - theirs).abs().max() / theirs.abs().max()))
        if largest > 1e-5 or not torch.equal(ours.argmax(1), theirs.argmax(1)):
            raise SystemExit(f"the ways come to other logits: they differ by {largest:.1e} of the largest one")
    print(
        f"{torch.get_num_threads()} thread(s): same errors; logits differ by {largest:.1e} of the largest one at most"
    )


@torch.no_grad()
def logits_of(network: nn.Module, loader: DataLoader[Any]) -> Tensor:
    """Return the logits of a loader's images."""
    return torch.cat([network(images) for images, _ in loader])


def usual(network: nn.Module, loaders: Iterable[DataLoader[Any]]) -> Work:
    """Return the usual way to a network's error on each of some sets."""

    @torch.no_grad()
    def errors() -> list[float]:
        found = []
        for loader in loaders:
            wrong = n = 0
            for images, labels in loader:
                wrong += int((network(images).argmax(1) != labels).sum())
                n += len(labels)
            found.append(wrong / n)
        return found

    return errors


def compare_folded(names: Iterable[str], splits: Sequence[Split], rounds: int) -> None:
    """Print what passes of folded networks take, of what those of the networks as they are do, in a worker's heap.

    Raises:
        SystemExit: they come to other logits.
    """
    keep_freed_memory()
    for name in names:
        network = (make_network(name) if name in NETWORKS else make_other(name)).eval()
        folded, layers = fold_batch_norm(network)
        plain, found = (predict(one, splits[0].images) for one in (network, folded))
        apart = float((found - plain).abs().max() / plain.abs().max())
        if not apart <= MOST_APART:
            raise SystemExit(f"a folded {name} comes to other logits: they differ by {apart:.1e} of the largest one")
        ways: dict[str, Work] = {
            "engine": lambda network=network: [classification_error(network, split) for split in splits],  # type: ignore[misc]
            "engine, folded": lambda folded=folded: [classification_error(folded, split) for split in splits],  # type: ignore[misc]
        }
        print(
            f"\n{name}, {len(layers)} normalisations folded, {torch.get_num_threads()} thread(s), "
            f"{len(splits)} sets of {len(splits[0])} images; logits differ by {apart:.1e} of the largest one at most"
        )
        time_in_turns(ways, rounds)
    keep_freed_memory(BY_ITSELF)


def make_other(name: str) -> nn.Module:
    """Return a network of another family, laid out as the engine has them."""
    torch.manual_seed(0)
    network = build_model(name, num_classes=N_CLASSES, image_size=SIDE)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def compare(what: str, ways: Mapping[str, Work], rounds: int) -> None:
    """Print what each way takes, and how much longer the best usual one takes than the engine's."""
    print(f"\n{what}, {torch.get_num_threads()} thread(s)")
    show_best(time_in_turns(ways, rounds), [way for way in ways if way != "engine"])


if __name__ == "__main__":
    main()
