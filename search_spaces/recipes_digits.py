"""The recipe ``fast`` against the papers' for ResNets, on digits: errors and seconds.

Without the recipes' crops and flips: a mirrored digit is another one. In a checkout
``python -m studies.recipes`` prints the times.
"""

from engine.settings import DataSettings, EvaluateSettings, ModelSettings, TrialConfig
from engine.spaces import Arm, Space
from engine.training import RECIPES

SPACE = Space(
    name="recipes-digits",
    description="What does the fast recipe save, and what does it cost, on digits?",
    base=TrialConfig(
        data=DataSettings(validation_fraction=0.1),
        model=ModelSettings(name="resnet-8"),
        evaluate=EvaluateSettings(corruptions=("gaussian_noise",), objective=("gaussian_noise",)),
    ),
    arms=(
        Arm("full", {**RECIPES["resnet"].training(), "pretrain.augmentation": "none"}, control=True),
        Arm("fast", {**RECIPES["fast"].training(), "pretrain.augmentation": "none"}),
    ),
    n_seeds=3,
)
