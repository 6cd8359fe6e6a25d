"""Arms of the studies of selective fine-tuning: a grid over distortion, level, number of noisy images and choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from engine.spaces import Arm

WHICH = ("most", "least", "random", "all")

METHODS: dict[str, dict[str, Any]] = {
    "correction": {"which": ("most",)},
    "classifier": {"which": ("all",)},
    "network": {"which": ("all",)},
    "retrain": {"which": ("all",), "pretrain__epochs": 40},
}
"""{what selected filters are compared with: which filters it is for, and what else its arms set}; the retrained network
has epochs enough to learn from few images what the others know already."""

EXEMPLARS: dict[str, dict[str, Any]] = {
    "exemplars by pixels, euclidean": {"rank.features": "pixels", "rank.metric": "euclidean"},
    "exemplars by maps, euclidean": {"rank.features": "maps", "rank.metric": "euclidean"},
    "exemplars by maps, hamming": {"rank.features": "maps", "rank.metric": "hamming"},
}
"""{ranking from unpaired images: the settings that make it}: those of the filter paper's Table 1."""

CORRUPTION = {"awgn": "gaussian_noise", "blur": "gaussian_blur"}
"""{distortion that is tuned on: the corruption of the severity tables that is of its kind}."""

UNITS = {"awgn": "σ {:g} of 255", "blur": "σ {:g} px"}


def tuning(distortion: str, level: float, n_images: int, which: str, epochs: int | None, **more: Any) -> Arm:
    """Return the arm of one fine-tuning.

    Args:
        distortion: what the noisy images suffered.
        level: how much.
        n_images: how many labelled ones there are, those included that select the epoch.
        which: the filters that are tuned.
        epochs: passes over the noisy images; None for as many as the base says.
        more: other settings, their dots as double underscores (``rank__distance="l2"``).
    """
    others = {path.replace("__", "."): value for path, value in more.items()}
    words = [distortion, f"{level:g}", f"n={n_images}", which, *(str(value) for value in others.values())]
    return Arm(
        " ".join(words),
        {
            "distortion.name": distortion,
            "distortion.level": level,
            "distortion.n_images": n_images,
            "finetune.which": which,
            **({} if epochs is None else {"finetune.training.epochs": epochs}),
            **others,
        },
    )


def methods(
    levels: Mapping[str, Iterable[float]], epochs: Mapping[int, int | None], n_images: Sequence[int]
) -> Iterator[Arm]:
    """Yield the arms of what selected filters are compared with; the arguments are those of ``grid``."""
    for method, more in METHODS.items():
        yield from grid(levels, epochs, n_images, finetune__method=method, **more)


def grid(
    levels: Mapping[str, Iterable[float]],
    epochs: Mapping[int, int | None],
    n_images: Sequence[int] | None = None,
    which: Sequence[str] = WHICH,
    **more: Any,
) -> Iterator[Arm]:
    """Yield the arms of all combinations.

    Args:
        levels: {distortion: its levels}.
        epochs: {number of noisy images: epochs}, None for as many as the base says.
        n_images: numbers of noisy images, of those in ``epochs``; None for all.
        which: choices of filters.
        more: as for ``tuning``.
    """
    for distortion, of_distortion in levels.items():
        for level in of_distortion:
            for n in epochs if n_images is None else n_images:
                for choice in which:
                    yield tuning(distortion, level, n, choice, epochs[n], **more)
