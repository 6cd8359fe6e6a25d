"""Which learning rate suits each way of tuning of the space ``successors-cifar``, on seeds of its own.

As ``successors-rates``, which it shares its view with, on the few images of CIFAR-10 and the small network of
``successors-cifar``.
"""

from __future__ import annotations

from dataclasses import replace

from search_spaces._successors import base_on_few_of_cifar
from search_spaces.successors_rates import SPACE as ON_ALL_OF_CIFAR
from search_spaces.successors_rates import judged_by_noise

SPACE = replace(ON_ALL_OF_CIFAR, name="successors-cifar-rates", base=judged_by_noise(base_on_few_of_cifar(), 5))
