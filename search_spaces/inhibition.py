"""Upsampling factor and inhibition strength of the first layer under Gaussian noise (push–pull paper, Table 4).

On digits, with ResNet-8 and ResNet-14: every h and alpha of the table, the plain network and, with h = 1 and alpha = 1,
the placebo. In a checkout ``python -m studies.inhibition`` prints the paper's figures beside the results.
"""

from engine.settings import EvaluateSettings, ModelSettings, TrainingSettings, TrialConfig
from engine.spaces import Arm, Space

MODELS = ("resnet-8", "resnet-14")
H = (1.0, 1.5, 2.0)
ALPHA = (0.5, 1.0, 1.5)

SPACE = Space(
    name="inhibition",
    description="Which upsampling factor and inhibition strength hold up best under Gaussian noise?",
    base=TrialConfig(
        model=ModelSettings(name="resnet-8"),
        pretrain=TrainingSettings(epochs=8, batch_size=64, learning_rate=3e-3, schedule="one-cycle"),
        evaluate=EvaluateSettings(corruptions=("gaussian_noise",), objective=("gaussian_noise",)),
    ),
    arms=tuple(
        arm
        for model in MODELS
        for arm in (
            Arm(f"{model} plain", {"model.name": model, "push_pull.where": "none"}),
            *(
                Arm(
                    f"{model} h={h:g} alpha={alpha:g}",
                    {"model.name": model, "push_pull.where": "first", "push_pull.h": h, "push_pull.alpha": alpha},
                )
                for h in H
                for alpha in ALPHA
            ),
        )
    ),
    n_seeds=5,
)
