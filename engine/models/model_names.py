"""Models by name: a registry whose names may be patterns, such as "resnet-{depth}"."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from torch import nn

from engine.errors import InputError, unknown_name
from engine.models.libraries import architecture_digest, is_of_library
from engine.registry import Registry

ModelBuilder = Callable[..., nn.Module]
B = TypeVar("B", bound=ModelBuilder)

MODELS: Registry[ModelBuilder] = Registry("model")
_EXAMPLES: dict[str, tuple[str, ...]] = {}


def register_model(pattern: str, *, examples: tuple[str, ...] = ()) -> Callable[[B], B]:
    """Return a decorator that makes a function the builder of the models of one name or pattern.

    The function is called as ``build(num_classes=…, in_channels=…, image_size=…, width=…)`` with the numbers of the
    pattern besides, and returns a module that takes float images in [0, 1] and returns logits. ``width`` may be None:
    the family's own. What it draws, it draws from torch's global generator. A layer ``model.normalise`` of class
    ``engine.layers.Normalise`` has its statistics set from the training images; an attribute ``model.first_block`` with
    names of modules says what "first_block" means for push–pull layers.

    Args:
        pattern: the name; each ``{field}`` stands for a whole number ≥ 1, and is an argument of the function.
        examples: names that exist, for lists, suggestions and the conformance tests; a pattern needs one.

    Raises:
        InputError: the name is taken, or an example does not fit.
    """
    if not examples and "{" in pattern:
        raise InputError(
            f"the model name {pattern!r} is a pattern: give names that exist as examples=(…), with a whole number ≥ 1 "
            "in the place of each {field}"
        )
    examples = examples or (pattern,)
    for example in examples:
        if _expression(pattern).fullmatch(example) is None:
            raise InputError(
                f"the example {example!r} does not fit the model name {pattern!r}: a {{field}} is a whole number ≥ 1"
            )
    register = MODELS.register(pattern)

    def add(build: B) -> B:
        register(build)
        _EXAMPLES[pattern] = examples
        return build

    return add


def find_model(name: str) -> tuple[str, dict[str, int]]:
    """Return the registered pattern that a model's name fits, and the numbers in it; raises ``InputError`` if none."""
    patterns = sorted(MODELS.names(), key=lambda pattern: (pattern != name, pattern.count("{")))
    for pattern in patterns:
        match = _expression(pattern).fullmatch(str(name))
        if match:
            return pattern, {field: int(number) for field, number in match.groupdict().items()}
    raise unknown_name("model", name, model_names())


def model_names() -> tuple[str, ...]:
    """Return names of models that exist: all plain ones, and each pattern's examples."""
    return tuple(name for pattern in MODELS for name in _EXAMPLES[pattern])


def model_source_digest(name: str) -> str | None:
    """Return the hash of the user's file that defines a model, or of a library's; None for the engine's own."""
    if is_of_library(name):
        return architecture_digest(name)
    return MODELS.source_digest(find_model(name)[0])


def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", pattern)
    fields = [f"(?P<{part}>[1-9][0-9]*)" if i % 2 else re.escape(part) for i, part in enumerate(parts)]
    return re.compile("".join(fields))
