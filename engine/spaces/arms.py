"""The configurations that a space compares like with like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import InputError

WINNER = "winner"
"""What the best proposal's repeats are called beside the arms."""


@dataclass(frozen=True)
class Arm:
    """A configuration that a search always contains, on every seed, and never prunes.

    Attributes:
        name: short and unique ("plain").
        settings: {dotted path: value} over the base.
        control: whether the other arms and the best trial are compared with it.
    """

    name: str
    settings: Mapping[str, Any]
    control: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isprintable():
            raise InputError(f"an arm's name is a word or several, without line breaks and the like, got {self.name!r}")
        if not isinstance(self.control, bool):
            raise InputError(f"arm {self.name!r}: `control` must be True or False, got {self.control!r}")
