"""Response maps of a convolution and of a push–pull layer under rising Gaussian noise (push–pull paper, Fig. 2).

At the paper's scale: LeNet PA on MNIST by the paper's recipe. The paper does not say which network, filter, image and
levels it shows; here they are the filter that answers the image most strongly, the first test image, and Fig. 4's
variances. One seed: it is an example. ``--dataset digits``: 12 epochs of Adam with a one-cycle schedule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.report.views import Plot, Shown, ViewPart, register_view
from engine.spaces import Space
from search_spaces._lenets import ARMS, base_on_digits, base_on_mnist

NAME = "push-pull-fig-2"
VARIANCES = (0.01, 0.1, 0.2, 0.3, 0.5)
N_IMAGES = 500
"""Test images that correlations are averaged over, at most."""

SPACE = Space(
    name=NAME,
    description="Do a push–pull layer's response maps hold up under noise better than its convolution's?",
    base=base_on_mnist("gaussian_noise"),
    arms=tuple(arm for arm in ARMS if arm.name == "PA"),
    n_seeds=1,
    view=NAME,
)

ON = {"digits": replace(SPACE, base=base_on_digits("gaussian_noise"))}


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield the maps of the stored network, and how they correlate with those of the clean images."""
    import torch

    from engine.figures.response_maps import response_figure
    from engine.layers import PushPull2d
    from engine.metrics import response_stability
    from engine.report.text_tables import Table
    from engine.stages.network import load_network

    trial = shown.results.groups()[0].trials[0]
    network = load_network(shown.artifact(trial, "pretrain"), None, torch.device("cpu"))
    layer = next(name for name, module in network.named_modules() if isinstance(module, PushPull2d))
    test = shown.data().test
    images = test.take(torch.arange(min(N_IMAGES, len(test))))
    found = response_stability(network, layer, images, VARIANCES, distortion="gaussian_variance", filter=None)
    rows = [
        (f"{level:g}", *(f"{values[place]:.3f}" for values in found.correlation.values()))
        for place, level in enumerate(found.levels[1:], start=1)
    ]
    table = Table(
        f"Fig. 2: correlation with the clean maps, mean over {len(images)} test images",
        ("variance", *found.correlation),
        rows,
        align="l" + "r" * len(found.correlation),
        caption="the paper shows maps alone, no numbers",
    )
    yield table
    yield Plot(
        "fig-2", lambda: response_figure(found, f"Fig. 2: layer {layer}, filter {found.filter}", "variance"), table
    )
