"""The question of ``successors`` on few images of CIFAR-10: 2,000 to train, 400 noisy ones to tune, 500 to test.

A small ResNet, fewer epochs, six corruptions at three severities, six seeds. Each way of tuning has the learning rate
that ``successors-cifar-rates`` found for it on other seeds.
"""

from __future__ import annotations

from search_spaces._successors import base_on_few_of_cifar
from search_spaces._successors_arms import successors_space
from search_spaces._successors_view import VIEW

RATES = {"most": 3e-4, "random": 3e-3, "first block": 3e-4, "all": 3e-4, "auto-rgn": 3e-4, "tent": 1e-4}
"""{way of tuning: its learning rate}: what ``successors-cifar-rates`` says."""

SPACE = successors_space(
    "successors-cifar",
    base_on_few_of_cifar(),
    RATES,
    view=VIEW,
    description="Which push–pull layer, training and tuning hold up best, on few images of CIFAR-10?",
    n_seeds=6,
)
