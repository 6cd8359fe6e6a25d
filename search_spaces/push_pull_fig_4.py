"""LeNet A–D against PA–PD under Gaussian noise on MNIST (push–pull paper, section 4.1, Fig. 4).

At the paper's scale: its recipe (90 epochs, SGD 0.1 divided by 10 at 30 and 60); it leaves the batch open (128 here),
and kernels, padding and pooling of the networks. It states no number of seeds; six here, the fewest that can show
anything. ``--dataset digits``: 12 epochs of Adam with a one-cycle schedule, and the same levels of noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.report.views import Shown, ViewPart, register_view
from engine.spaces import Comparison, Space
from search_spaces._lenets import ARMS, PAIRS, accuracies, base_on_digits, base_on_mnist, figure_parts

NAME = "push-pull-fig-4"
VARIANCES = {1: "0.01", 2: "0.1", 3: "0.2", 4: "0.3", 5: "0.5"}
"""{severity of the table "push-pull-mnist": variance of its noise}."""

SPACE = Space(
    name=NAME,
    description="Does a push–pull first layer make the four LeNets hold up under Gaussian noise?",
    base=base_on_mnist("gaussian_noise"),
    arms=ARMS,
    n_seeds=6,
    comparisons=tuple(Comparison(inhibited, plain, ("gaussian_noise",)) for inhibited, plain in PAIRS),
    view=NAME,
)

ON = {"digits": replace(SPACE, base=base_on_digits("gaussian_noise"))}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield accuracies by variance of the noise beside the paper's."""
    measured = accuracies(shown, "gaussian_noise", VARIANCES)
    yield from figure_parts(shown, NAME, measured, ["clean", *VARIANCES.values()])
