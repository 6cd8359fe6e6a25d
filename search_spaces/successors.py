"""What came after the two papers, beside them: push–pull layers of 2020 and 2024, and rival ways to tune a network.

Every network, plain or with a first push–pull layer of either paper, trained as it is, on noise or by AugMix, is tuned
in every way on one kind of noise: the most affected quarter of the filters, as many random ones, the first block,
everything, everything by Auto-RGN's rates; and, without a label, batch normalisation alone, by its statistics and by
TENT. The corruption that is tuned on is kept apart from those that are not. (The noise that networks are trained on is
of its kind.) At full scale ResNet-20 on CIFAR-10 by the push–pull paper's recipe; ``--dataset digits`` is small, and
``successors-cifar`` has few images of CIFAR-10.

One learning rate for all ways would decide between them. Each has its own, which ``successors-rates`` found on other
seeds, on plain networks on digits; for other images it has to be run there, and the rates changed.
"""

from __future__ import annotations

from search_spaces._successors import base_on_cifar, base_on_digits
from search_spaces._successors_arms import successors_space
from search_spaces._successors_view import VIEW

RATES = {"most": 3e-3, "random": 3e-3, "first block": 3e-3, "all": 1e-3, "auto-rgn": 3e-3, "tent": 1e-2}
"""{way of tuning: its learning rate}: what ``successors-rates`` says on digits."""

SPACE, _ON_DIGITS = (
    successors_space(
        "successors",
        base,
        RATES,
        view=VIEW,
        description="Which push–pull layer, training and tuning hold up best: on what was tuned on, and on all else?",
    )
    for base in (base_on_cifar(), base_on_digits())
)
ON = {"digits": _ON_DIGITS}
