"""Which filters to fine-tune for noisy images, chosen how, with how many images (filter paper, Fig. 5), on CIFAR-10.

Reduced: at most 3,000 training images, 1,000 test images, and fewer cells than on digits. The paper does not give its
levels; here are a later thesis's for the noise, and the lower two of DeepCorrect's whole numbers for the blur. A fifth
of the noisy images is held out, to keep the epoch that is best on it.
``pipelines.report`` shows the tables and, with ``--figures``, draws the curves.
"""

from engine.settings import (
    DataSettings,
    EvaluateSettings,
    FinetuneSettings,
    ModelSettings,
    TrainingSettings,
    TrialConfig,
)
from engine.spaces import Arm, Space
from search_spaces._grids import VIEW
from search_spaces._selective import grid, methods

LEVELS = {"awgn": (25.0, 50.0), "blur": (1.0, 2.0)}
"""Moderate, severe."""

EPOCHS = {50: 16, 200: 10, 1000: 6}
"""{number of noisy images: epochs}."""

MODERATE = {name: levels[:1] for name, levels in LEVELS.items()}

SPACE = Space(
    name="selective-cifar",
    description="Does tuning the most affected filters beat the least, random ones or all, on CIFAR-10?",
    base=TrialConfig(
        data=DataSettings(name="cifar10", n_train=3000, n_validation=400, n_test=1000),
        model=ModelSettings(name="cnn-2"),
        pretrain=TrainingSettings(epochs=12, batch_size=64, learning_rate=2e-3, schedule="one-cycle"),
        finetune=FinetuneSettings(
            training=TrainingSettings(epochs=6, batch_size=32, learning_rate=1e-3, schedule="constant")
        ),
        evaluate=EvaluateSettings(
            corruptions=("gaussian_noise", "gaussian_blur"),
            objective=("gaussian_noise", "gaussian_blur"),
            severities=(1, 5),
            n_probe=100,
        ),
    ),
    arms=(
        Arm("none", {"finetune.which": "none"}, control=True),
        *grid(LEVELS, EPOCHS),
        *grid(MODERATE, EPOCHS, (200,), ("most",), rank__distance="l2"),
        *grid(MODERATE, EPOCHS, (200,), ("most",), rank__pairing="unpaired"),
        *grid(MODERATE, EPOCHS, (200,), ("most", "all"), finetune__layers="first"),
        *grid(MODERATE, EPOCHS, (50,), ("most",), finetune__select_by="validation"),
        *methods(MODERATE, EPOCHS, (200,)),
    ),
    n_seeds=5,
    view=VIEW,
)
