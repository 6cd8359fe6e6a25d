"""Small spaces for tests: seconds of work in all."""

from engine.settings import (
    DataSettings,
    DistortionSettings,
    FinetuneSettings,
    ModelSettings,
    TrainingSettings,
    TrialConfig,
)
from engine.spaces import Arm, Choice, Float, Space

TINY = TrialConfig(
    data=DataSettings(n_train=100, n_validation=60, n_test=60),
    model=ModelSettings(name="resnet-8", width=2),
    pretrain=TrainingSettings(epochs=2),
    distortion=DistortionSettings(n_images=20),
    finetune=FinetuneSettings(training=TrainingSettings(epochs=2, learning_rate=1e-3, schedule="constant")),
)

INHIBITED = TINY.with_settings({"push_pull.where": "first"})
"""The same with a first layer whose axes matter."""

SPACE = Space(
    name="tiny",
    description="a space for tests",
    base=TINY,
    axes=(
        Choice("push_pull.where", ("none", "first")),
        Choice("push_pull.h", (1.5, 2.0), when={"push_pull.where": ("first",)}),
        Choice("finetune.which", ("most", "random", "none")),
        Float("finetune.fraction", 0.25, 0.5, when={"finetune.which": ("most", "random")}),
    ),
    arms=(
        Arm("plain", {"push_pull.where": "none", "finetune.which": "none"}, control=True),
        Arm("push-pull", {"push_pull.where": "first", "push_pull.h": 2.0, "finetune.which": "none"}),
    ),
    n_seeds=2,
)
