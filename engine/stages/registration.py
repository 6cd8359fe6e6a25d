"""The registered kinds of stages, the engine's and a user's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.registry import Registry
from engine.stages.context import StageContext


@dataclass(frozen=True)
class Stage:
    """A kind of stage: the function that computes it, and the version that its keys carry."""

    name: str
    version: int
    run: Callable[[StageContext], None]


STAGES: Registry[Stage] = Registry("stage")


def register_stage(name: str, *, version: int) -> Callable[[Callable[[StageContext], None]], Callable]:
    """Return a decorator that makes a function a stage, which ``run_stage`` runs by a spec.

    The stages of a trial are those that its plan names (``engine.stages.plan``), the engine's own.

    Args:
        name: the stage's name.
        version: raised whenever the function, or what it calls, gives other numbers.
    """

    def add(function: Callable[[StageContext], None]) -> Callable:
        STAGES.register(name)(Stage(name, version, function))
        return function

    return add
