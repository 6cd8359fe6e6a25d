"""Does push–pull inhibition make a small ResNet hold up under noise, and what does selective fine-tuning add?

The sizes suit digits (16×16, grey), which train in seconds: the whole question fits into minutes on two cores. For
other data sets raise the epochs and choose the network (`--set pretrain.epochs=30 model.name=resnet-20`).
"""

from engine.settings import EvaluateSettings, FinetuneSettings, ModelSettings, TrainingSettings, TrialConfig
from engine.spaces import Arm, Choice, Comparison, Float, Space

TUNED = ("most", "least", "random", "all")
RANKED = ("most", "least")

SPACE = Space(
    name="push-pull",
    description="Push–pull inhibition against the plain network and the placebo under noise, and selective fine-tuning",
    base=TrialConfig(
        model=ModelSettings(name="resnet-8", width=16),
        pretrain=TrainingSettings(epochs=6, batch_size=64, learning_rate=3e-3, schedule="one-cycle"),
        finetune=FinetuneSettings(
            training=TrainingSettings(epochs=6, batch_size=64, learning_rate=1e-3, schedule="constant", patience=15)
        ),
        evaluate=EvaluateSettings(table="auto"),
    ),
    axes=(
        Choice("push_pull.where", ("none", "first", "first_block")),
        Choice("push_pull.h", (1.5, 2.0, 3.0), when={"push_pull.where": ("first", "first_block")}),
        Choice("push_pull.learn_alpha", (None, "kernel"), when={"push_pull.where": ("first", "first_block")}),
        Choice(
            "push_pull.alpha",
            (0.5, 1.0, 1.5),
            when={"push_pull.where": ("first", "first_block"), "push_pull.learn_alpha": (None,)},
        ),
        Choice("finetune.which", (*TUNED, "none")),
        Choice("distortion.name", ("awgn", "blur"), when={"finetune.which": TUNED}),
        Choice(
            "distortion.level",
            (25.0, 50.0),
            when={"finetune.which": TUNED, "distortion.name": ("awgn",)},
            label="distortion.level (awgn, σ of 255)",
        ),
        Choice(
            "distortion.level",
            (1.0, 2.0),
            when={"finetune.which": TUNED, "distortion.name": ("blur",)},
            label="distortion.level (blur, σ in pixels)",
        ),
        Choice("distortion.n_images", (50, 200, 400), when={"finetune.which": TUNED}),
        Choice("finetune.layers", ("first", "first-3", "all"), when={"finetune.which": TUNED}),
        Float("finetune.fraction", 0.1, 0.5, when={"finetune.which": ("most", "least", "random")}),
        Choice("rank.pairing", ("paired", "unpaired"), when={"finetune.which": RANKED}),
        Choice("rank.features", ("pixels", "maps"), when={"finetune.which": RANKED, "rank.pairing": ("unpaired",)}),
        Choice(
            "rank.metric",
            ("euclidean", "hamming"),
            when={"finetune.which": RANKED, "rank.pairing": ("unpaired",), "rank.features": ("maps",)},
        ),
    ),
    arms=(
        Arm("plain", {"push_pull.where": "none", "finetune.which": "none"}, control=True),
        Arm(
            "placebo",
            {"push_pull.where": "first", "push_pull.h": 1.0, "push_pull.alpha": 1.0, "finetune.which": "none"},
            control=True,
        ),
        Arm(
            "push-pull",
            {"push_pull.where": "first", "push_pull.h": 2.0, "push_pull.alpha": 1.0, "finetune.which": "none"},
        ),
    ),
    n_seeds=6,
    comparisons=(Comparison("push-pull", "plain", ("all", "clean")), Comparison("winner", "plain", ("all", "clean"))),
)
