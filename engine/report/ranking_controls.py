"""How far controls agree with the paired ranking of a trial, as raw rows, measured now on its network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from engine.data import DataSet
from engine.data.streamed import whole
from engine.ranking import control_agreements
from engine.report.ranking_rows import Row, make_row
from engine.settings import TrialConfig
from engine.stages.noisy import noisy_and_clean


def control_rows(
    config: TrialConfig, data: DataSet, network: nn.Module, layers: Sequence[str], n_draws: int, **what: Any
) -> Iterator[Row]:
    """Yield a row for each of ``CONTROLS``, layer and draw.

    Args:
        config: the trial's: which images are noisy, how it ranks, how many filters it selects.
        data: its data set.
        network: what it ranks.
        layers: of these.
        n_draws: how often random images and halves are drawn, ≥ 1.
        what: what all rows say.
    """
    distortion = config.distortion
    wanted = {"name": distortion.name, "level": distortion.level, "n_images": distortion.n_images}
    noisy, clean, other_clean = noisy_and_clean(data, wanted, seed=config.seed)
    found = control_agreements(
        network,
        whole(clean.images),
        whole(noisy.images),
        whole(other_clean.images),
        layers,
        fraction=config.finetune.fraction,
        count=config.finetune.count,
        distance=config.rank.distance,
        at=config.rank.at,
        election=config.rank.election,
        top=config.rank.top,
        n_draws=n_draws,
        seed=config.seed,
    )
    for control, by_layer in found.items():
        for layer, agreements in by_layer.items():
            for draw, agreement in enumerate(agreements):
                yield make_row(
                    agreement, **what, kind="control", layer=layer, ranking=control, other="paired", draw=draw
                )
