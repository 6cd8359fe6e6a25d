"""Which filters to fine-tune for noisy images, chosen how, with how many images (filter paper, Fig. 5), on digits.

The paper gives neither its levels nor the sizes of its noisy sets nor how long it tunes. Here the levels are those at
which the network, ``cnn-2``, errs a little, clearly and much; fewer images are passed over more often, so that 25 of
them make 20 steps too. A fifth of them is not trained on: the epoch that is best on that fifth is kept, as the paper's
early stopping by an 80–20 split does, so that a cell's number of images is all the labelled noisy ones that it used.
``pipelines.report`` shows the tables and, with ``--figures``, draws the curves.
"""

from engine.settings import EvaluateSettings, FinetuneSettings, ModelSettings, TrainingSettings, TrialConfig
from engine.spaces import Arm, Space
from search_spaces._grids import VIEW
from search_spaces._selective import grid, methods

LEVELS = {"awgn": (51.0, 100.0, 150.0), "blur": (1.0, 2.0, 3.0)}
"""Mild, moderate, severe."""

EPOCHS = {25: 20, 50: 16, 100: 12, 200: 10, 800: 6}
"""{number of noisy images: epochs}."""

DISTANCES = ("l2", "cosine", "sliced_emd", "emd_spatial_mass")
"""Beside the base's."""

MILD = {name: levels[:1] for name, levels in LEVELS.items()}
MODERATE = {name: levels[1:2] for name, levels in LEVELS.items()}
SEVERE = {name: levels[2:] for name, levels in LEVELS.items()}

SPACE = Space(
    name="selective-digits",
    description="Does tuning the most affected filters beat the least, random ones or all, for how many noisy images?",
    base=TrialConfig(
        model=ModelSettings(name="cnn-2"),
        pretrain=TrainingSettings(epochs=12, batch_size=64, learning_rate=3e-3, schedule="one-cycle"),
        finetune=FinetuneSettings(
            training=TrainingSettings(epochs=8, batch_size=32, learning_rate=3e-3, schedule="constant")
        ),
        evaluate=EvaluateSettings(
            corruptions=("gaussian_noise", "gaussian_blur"),
            objective=("gaussian_noise", "gaussian_blur"),
            severities=(1, 3, 5),
            n_probe=120,
        ),
    ),
    arms=(
        Arm("none", {"finetune.which": "none"}, control=True),
        *grid(MODERATE, EPOCHS),
        *grid(SEVERE, EPOCHS),
        *grid(MILD, EPOCHS, (50, 800)),
        *(arm for distance in DISTANCES for arm in grid(MODERATE, EPOCHS, (100,), ("most",), rank__distance=distance)),
        *grid(MODERATE, EPOCHS, (100,), ("most",), rank__pairing="unpaired"),
        *grid(MODERATE, EPOCHS, (100, 800), finetune__layers="first"),
        *grid(MODERATE, EPOCHS, (25, 100), ("most", "all"), finetune__select_by="validation"),
        *methods(MODERATE, EPOCHS, (100, 800)),
    ),
    n_seeds=5,
    view=VIEW,
)
