"""How much a distortion turns filters on or off, network by network (filter paper, Fig. 6), as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.metrics import PairedDifference, paired_difference
from engine.report.text_tables import Table

BASELINE = "none"

Sums = dict[str, dict[str, list[float]]]
"""{choice of filters, ``BASELINE`` among them: {layer: the sum of each image's disparity}}."""


def disparity_table(
    by_seed: Sequence[Sums], names: Mapping[str, str], n_filters: Mapping[str, int], distortion: str
) -> Table:
    """Return the mean sum of each network and layer with its 95 % interval, and the difference to the baseline.

    Args:
        by_seed: the sums of each seed; of several the intervals are over them, of one over the images.
        names: {choice of filters: what its network is called}.
        n_filters: {layer: how many it has}.
        distortion: in words.
    """
    n_images = len(next(iter(by_seed[0][BASELINE].values())))
    over = f"{len(by_seed)} seeds" if len(by_seed) > 1 else f"{n_images} images"
    rows: list[Sequence[str]] = []
    is_starred = False
    for layer in n_filters:
        baseline = _values(by_seed, BASELINE, layer)
        for which in by_seed[0]:
            values = _values(by_seed, which, layer)
            mean = paired_difference(values, [0.0] * len(values))
            cells = [layer, names[which], interval_text(mean)]
            if which == BASELINE:
                cells += ["", ""]
            else:
                apart = paired_difference(values, baseline)
                share = f"{sum(values) / sum(baseline):.0%}" if sum(baseline) else "–"
                excludes_0 = apart.low > 0 or apart.high < 0
                is_starred |= excludes_0
                cells += [share, interval_text(apart, sign="+") + " *" * excludes_0]
            rows.append(cells)
        rows.append(())
    return Table(
        f"Disparity under {distortion}: mean over {n_images} test images, 95 % interval over {over}",
        ("layer", "network", "mean sum", "of the baseline's", "difference to the baseline"),
        rows,
        caption="* the interval excludes 0" * is_starred,
    )


def _values(by_seed: Sequence[Sums], which: str, layer: str) -> list[float]:
    """Return the sums of each image for one seed, or each seed's mean sum for several."""
    if len(by_seed) == 1:
        return by_seed[0][which][layer]
    return [sum(sums[which][layer]) / len(sums[which][layer]) for sums in by_seed]


def interval_text(found: PairedDifference, *, sign: str = "") -> str:
    """Return "123.4 [120.0, 126.8]"."""
    return f"{found.mean:{sign}.1f} [{found.low:{sign}.1f}, {found.high:{sign}.1f}]"
