"""Rankings without pairs of images, by exemplars, against the one by pairs (filter paper, section 5.3, Table 1).

The paper counts how many of the 24 most affected filters each way finds in the first three layers of the All-CNN, AWGN
σ 15. Not in the paper, and chosen here: 5,000 noisy images and as many clean ones; the controls, which are one random
clean and one random noisy image, no noisy image at all, all unpaired images at once, and the halves of the pairs
against each other; and that the filters of each ranking are tuned, which the paper takes to come to the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.corruption_kinds import TUNED_ON
from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Arm, Comparison, Space
from search_spaces._filters import CIFAR10, CIFAR100, DIGITS, MODERATE, N_SEEDS, Scale
from search_spaces._selective import EXEMPLARS

NAME = "filters-table-1"
PAIRED = "paired"
RANDOM = "random filters"


def _space(scale: Scale) -> Space:
    noise = {
        "distortion.name": "awgn",
        "distortion.level": scale.levels["awgn"][MODERATE[0]],
        "distortion.n_images": scale.pairs,
        "finetune.which": "most",
    }
    return Space(
        name=NAME,
        description="Do exemplars of unpaired images find the filters that pairs of images do?",
        base=scale.base,
        arms=(
            Arm(PAIRED, noise, control=True),
            *(Arm(name, {**noise, "rank.pairing": "unpaired", **how}) for name, how in EXEMPLARS.items()),
            Arm(RANDOM, {**noise, "finetune.which": "random"}, control=True),
        ),
        n_seeds=N_SEEDS,
        comparisons=tuple(Comparison(name, PAIRED, (TUNED_ON,)) for name in (*EXEMPLARS, RANDOM)),
        view=NAME,
    )


SPACE = _space(CIFAR100)

ON = {"cifar10": _space(CIFAR10), "digits": _space(DIGITS)}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield how far each ranking agrees with the paired one, beside the paper's, and what tuning by each comes to."""
    from engine.report.ranking_tables import unpaired_table
    from search_spaces._beside import changes_beside, errors_by_column, measured_beside, where_computed
    from search_spaces._published import MATCHES_FROM, published_matches
    from search_spaces._rankings_beside import N_DRAWS, controls, stored_rankings, variant_rows

    found = stored_rankings(shown, {name: name for name in (PAIRED, *EXEMPLARS)})
    where = where_computed(shown.results)
    rows = list(variant_rows(shown, found, PAIRED))
    for by_name in found.values():
        trial, rankings = by_name[PAIRED]
        rows += controls(shown, trial, list(rankings))
    if rows:
        setting = f"Table 1; {where}, ± std over seeds, random images and halves {N_DRAWS} times"
        yield unpaired_table(rows, setting, published_matches(), MATCHES_FROM)
    accuracy = {
        group.name: {
            column: {seed: 1 - error for seed, error in by_seed.items()}
            for column, by_seed in errors_by_column(group, [TUNED_ON, "clean"]).items()
        }
        for group in shown.results.groups()
    }
    columns = [TUNED_ON, "clean"]
    yield measured_beside(f"Accuracy in % after tuning the filters of each ranking; {where}", accuracy, columns, None)
    pairs = [(name, other) for other in (PAIRED, RANDOM) for name in (PAIRED, *EXEMPLARS) if name != other]
    title = f"What the ranking changes, in points of accuracy, paired by seed; {where}"
    yield changes_beside(title, accuracy, pairs, columns, None, "explored, not tested")
