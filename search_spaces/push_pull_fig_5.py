"""LeNet A–D against PA–PD under changed contrast and Poisson noise on MNIST (push–pull paper, section 4.1, Fig. 5).

At the paper's scale: as Fig. 4, whose trainings it shares in a store. The paper gives neither the factors of contrast
nor the peaks of the Poisson noise as numbers; both are chosen here. Contrast changes about 0.5, as the paper has it,
which no corruption of the severity tables does: the view measures it on the stored networks. ``--dataset digits``: 12
epochs of Adam with a one-cycle schedule, and the same levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Comparison, Space
from search_spaces._lenets import ARMS, PAIRS, accuracies, base_on_digits, base_on_mnist, figure_parts, measured_at

NAME = "push-pull-fig-5"
PEAKS = {1: "peak 100", 2: "peak 50", 3: "peak 20", 4: "peak 10", 5: "peak 5"}
FACTORS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.5)

SPACE = Space(
    name=NAME,
    description="Does a push–pull first layer make the four LeNets hold up under Poisson noise and changed contrast?",
    base=base_on_mnist("shot_noise"),
    arms=ARMS,
    n_seeds=6,
    comparisons=tuple(Comparison(inhibited, plain, ("shot_noise",)) for inhibited, plain in PAIRS),
    view=NAME,
)

ON = {"digits": replace(SPACE, base=base_on_digits("shot_noise"))}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield accuracies by peak of the noise and, measured now, by factor of contrast."""
    from search_spaces._beside import changes_beside, measured_beside, where_computed

    measured = accuracies(shown, "shot_noise", PEAKS)
    columns = ["clean", *PEAKS.values()]
    yield from figure_parts(shown, NAME, measured, columns)
    by_factor = measured_at(shown, "contrast", {factor: f"factor {factor:g}" for factor in FACTORS})
    where, factors = where_computed(shown.results), [f"factor {factor:g}" for factor in FACTORS]
    yield measured_beside(f"Fig. 5: accuracy in % under changed contrast; {where}", by_factor, factors, None)
    title = f"Fig. 5: what inhibition changes under changed contrast, in points of accuracy, paired by seed; {where}"
    yield changes_beside(title, by_factor, PAIRS, factors, None)
