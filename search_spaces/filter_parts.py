"""What selective fine-tuning consists of, taken apart: ranking distance, selection, budget (filter paper), on digits.

The full method tunes the quarter of filters that blur changes most, by the earth mover's distance, on 100 blurred
images. One ablation takes away the selection (all filters are tuned; the control are as many random ones) and the
tuning; another one changes one choice at a time.
"""

from engine.settings import (
    DistortionSettings,
    EvaluateSettings,
    FinetuneSettings,
    ModelSettings,
    TrainingSettings,
    TrialConfig,
)
from engine.spaces import LeaveOneOut, OneAtATime, Part, Space, one_each

SPACE = Space(
    name="filter-parts",
    description="Which parts of selective fine-tuning matter under blur: selection, distance, pairing or budget?",
    base=TrialConfig(
        model=ModelSettings(name="cnn-2"),
        pretrain=TrainingSettings(epochs=12, batch_size=64, learning_rate=3e-3, schedule="one-cycle"),
        distortion=DistortionSettings(name="blur", level=2.0, n_images=100),
        finetune=FinetuneSettings(
            which="most",
            training=TrainingSettings(epochs=12, batch_size=32, learning_rate=3e-3, schedule="constant"),
        ),
        evaluate=EvaluateSettings(
            corruptions=("gaussian_blur",), objective=("gaussian_blur",), severities=(1, 3, 5), n_probe=120
        ),
    ),
    ablations=(
        LeaveOneOut(
            name="method",
            parts=(
                Part("selection", {"finetune.which": "all"}, control="random filters"),
                Part("tuning", {"finetune.which": "none"}),
            ),
        ),
        OneAtATime(
            name="choices",
            alternatives={
                **one_each({"rank.distance": ("l2", "cosine"), "distortion.n_images": (25, 400)}),
                "unpaired": {"rank.pairing": "unpaired"},
                "random exemplars": {"rank.pairing": "unpaired", "rank.features": "random"},
            },
        ),
    ),
    n_seeds=8,
)
