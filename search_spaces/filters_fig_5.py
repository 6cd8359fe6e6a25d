"""Accuracy on noisy images by how many of them, and which filters, were tuned on (filter paper, section 5.2, Fig. 5).

As there, at moderate and high levels of noise and blur, in both networks: CIFAR-10's, and with ``--dataset cifar100``
the All-CNN. The numbers of noisy images are chosen here; the first lines of ``_filters.py`` say what else is.
Declared is what the paper claims of few images, the fewest here.
``--dataset digits`` has cells of the space ``selective-digits``.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Space
from search_spaces._filters import CIFAR10, CIFAR100, DIGITS, MODERATE_AND_HIGH, N_SEEDS, UNTUNED, Scale, declared

NAME = "filters-fig-5"


def _space(scale: Scale) -> Space:
    return Space(
        name=NAME,
        description="For how many noisy images does tuning the most affected filters beat tuning others?",
        base=scale.base,
        arms=(UNTUNED, *scale.arms(MODERATE_AND_HIGH, scale.sizes)),
        n_seeds=N_SEEDS,
        comparisons=declared(scale.arms(MODERATE_AND_HIGH, scale.sizes[:1])),
        view=NAME,
    )


SPACE = _space(CIFAR10)

ON = {"cifar100": _space(CIFAR100), "digits": _space(DIGITS)}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield accuracies, and what the choice of filters changes, as tables and as the paper's curves."""
    from search_spaces._tuning_views import accuracy_parts

    yield "the paper draws these curves and prints no numbers of them; the copy at hand has lost the curves"
    yield from accuracy_parts(shown, "Fig. 5")
