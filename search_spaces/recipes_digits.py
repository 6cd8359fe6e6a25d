"""The recipe ``fast`` against the papers' for ResNets, on digits: errors and seconds.

Without the recipes' crops and flips: a mirrored digit is another one. ``pipelines.report`` shows the times.
"""

from engine.settings import DataSettings, EvaluateSettings, ModelSettings, TrialConfig
from engine.spaces import Arm, Space
from engine.training import RECIPES
from search_spaces._recipes import FAST, FULL, VIEW

SPACE = Space(
    name="recipes-digits",
    description="What does the fast recipe save, and what does it cost, on digits?",
    base=TrialConfig(
        data=DataSettings(validation_fraction=0.1),
        model=ModelSettings(name="resnet-8"),
        evaluate=EvaluateSettings(corruptions=("gaussian_noise",), objective=("gaussian_noise",)),
    ),
    arms=(
        Arm(FULL, {**RECIPES["resnet"].training(), "pretrain.augmentation": "none"}, control=True),
        Arm(FAST, {**RECIPES["fast"].training(), "pretrain.augmentation": "none"}),
    ),
    n_seeds=3,
    view=VIEW,
)
