"""The fast recipe for small data sets against the papers' for ResNets, on CIFAR-10: errors and seconds.

Reduced: ResNet-8 on 2,000 training images. ``pipelines.report`` shows the times.
"""

from engine.settings import DataSettings, EvaluateSettings, ModelSettings, TrialConfig
from engine.spaces import Arm, Space
from engine.training import RECIPES
from search_spaces._recipes import FAST, FULL, VIEW

SPACE = Space(
    name="recipes-cifar",
    description="What does the fast recipe save, and what does it cost, on CIFAR-10?",
    base=TrialConfig(
        data=DataSettings(name="cifar10", validation_fraction=0.1, n_train=2000, n_validation=500, n_test=2000),
        model=ModelSettings(name="resnet-8"),
        evaluate=EvaluateSettings(corruptions=("gaussian_noise",), objective=("gaussian_noise",)),
    ),
    arms=(
        Arm(FULL, RECIPES["resnet"].training(), control=True),
        Arm(FAST, RECIPES["fast-small"].training()),
    ),
    n_seeds=3,
    view=VIEW,
)
