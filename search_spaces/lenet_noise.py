"""LeNet A–D against PA–PD under noise and changed contrast (push–pull paper, section 4.1, Figs. 4 and 5).

Reduced: 30 of the paper's 90 epochs, with the rate divided at the same thirds, and as many images as there are (the
paper trains on 50,000). In a checkout ``python -m studies.lenet_noise`` prints the paper's figures beside the results.
"""

from engine.settings import DataSettings, EvaluateSettings, ModelSettings, TrialConfig
from engine.spaces import Arm, Space
from engine.training import recipe_settings

LETTERS = ("a", "b", "c", "d")

SPACE = Space(
    name="lenet-noise",
    description="Does a push–pull first layer make the four LeNets hold up under noise on MNIST?",
    base=TrialConfig(
        data=DataSettings(name="mnist"),
        model=ModelSettings(name="lenet-a"),
        evaluate=EvaluateSettings(table="digits", corruptions=("gaussian_noise",), objective=("gaussian_noise",)),
    ).with_settings({**recipe_settings("lenet"), "pretrain.epochs": 30}),
    arms=tuple(
        Arm(f"{'P' * inhibited}{letter.upper()}", {"model.name": f"lenet-{letter}", "push_pull.where": where})
        for letter in LETTERS
        for inhibited, where in ((False, "none"), (True, "first"))
    ),
    n_seeds=5,
)
