"""LeNet A–D against PA–PD under noise and changed contrast (push–pull paper, section 4.1, Figs. 4 and 5), reduced.

30 of the paper's 90 epochs, with the rate divided at the same thirds, and as many images as there are (the paper trains
on 50,000): what ``push-pull-fig-4`` and ``push-pull-fig-5`` are at the paper's own scale. The view measures the stored
networks at the figures' levels.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.report.views import Shown, ViewPart, register_view
from engine.settings import DataSettings, EvaluateSettings, ModelSettings, TrialConfig
from engine.spaces import Space
from engine.training import recipe_settings
from search_spaces._lenets import ARMS, PAIRS, measured_at

NAME = "lenet-noise"
LEVELS = {
    "gaussian_variance": (0.01, 0.1, 0.2, 0.3, 0.5),
    "contrast": (0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5),
    "poisson": (100.0, 50.0, 20.0, 10.0, 5.0),
}
"""The text gives the variances; the factors and peaks are read off Fig. 5."""

SPACE = Space(
    name=NAME,
    description="Does a push–pull first layer make the four LeNets hold up under noise on MNIST?",
    base=TrialConfig(
        data=DataSettings(name="mnist"),
        model=ModelSettings(name="lenet-a"),
        evaluate=EvaluateSettings(table="digits", corruptions=("gaussian_noise",), objective=("gaussian_noise",)),
    ).with_settings({**recipe_settings("lenet"), "pretrain.epochs": 30}),
    arms=ARMS,
    n_seeds=5,
    view=NAME,
)


@register_view(NAME)
def show(shown: Shown) -> Iterator[ViewPart]:
    """Yield accuracies by distortion and level, and what inhibition changes, beside the numbers that the paper has."""
    from search_spaces._beside import changes_beside, errors_by_column, measured_beside, where_computed
    from search_spaces._published import published

    where = where_computed(shown.results)
    for distortion, levels in LEVELS.items():
        found = measured_at(shown, distortion, {level: f"{level:g}" for level in levels})
        for group in shown.results.groups():
            clean = errors_by_column(group, ["clean"])["clean"]
            found[group.name]["clean"] = {seed: 1 - error for seed, error in clean.items()}
        columns = ["clean", *(f"{level:g}" for level in levels)]
        paper = published("push-pull-fig-4") if distortion == "gaussian_variance" else None
        note = "paper: one network each, 50,000 training images, 90 epochs" if paper else ""
        yield measured_beside(f"{distortion}: accuracy in %; {where}", found, columns, paper, note)
        title = f"{distortion}: what inhibition changes, in points of accuracy, paired by seed; {where}"
        yield changes_beside(title, found, PAIRS, columns, paper, "explored, not tested")
