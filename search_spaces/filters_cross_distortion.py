"""What tuning on one distortion does under the other one, and to clean images (filter paper, section 5.1).

The paper finds that noise and blur affect much the same filters, and leaves to future work whether tuning on one
therefore helps under the other. The first lines of ``_filters.py`` say what is chosen here. ``--dataset cifar100`` is
the All-CNN.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Comparison, Space
from search_spaces._filters import CIFAR10, CIFAR100, DIGITS, MODERATE_AND_HIGH, N_SEEDS, UNTUNED, Scale
from search_spaces._selective import CORRUPTION

NAME = "filters-cross-distortion"
OTHER = {one: kind for one in CORRUPTION for name, kind in CORRUPTION.items() if name != one}
"""{distortion that is tuned on: the corruption of the other kind}."""


def _space(scale: Scale) -> Space:
    arms = tuple(scale.arms(MODERATE_AND_HIGH, (scale.some,)))
    most = [arm for arm in arms if arm.settings["finetune.which"] == "most"]
    return Space(
        name=NAME,
        description="Does tuning on noise make a network hold up under blur, and the other way round?",
        base=scale.base,
        arms=(UNTUNED, *arms),
        n_seeds=N_SEEDS,
        comparisons=tuple(
            Comparison(arm.name, UNTUNED.name, (OTHER[arm.settings["distortion.name"]], "clean")) for arm in most
        ),
        view=NAME,
    )


SPACE = _space(CIFAR10)

ON = {"cifar100": _space(CIFAR100), "digits": _space(DIGITS)}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield what tuning changes on clean images and under either distortion, and accuracies on what was tuned on."""
    from search_spaces._tuning_tables import transfer_table
    from search_spaces._tuning_views import table_parts
    from search_spaces._tunings import Tunings

    found = transfer_table(shown, Tunings(shown.results))
    if found is not None:
        yield found
    yield from table_parts(shown, "Cross-distortion (section 5.1)")
