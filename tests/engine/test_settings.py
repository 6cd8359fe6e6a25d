import dataclasses
import math
import types
import typing
from typing import Any, Literal

import pytest

from engine.errors import InputError
from engine.settings import (
    DataSettings,
    DistortionSettings,
    EvaluateSettings,
    FinetuneSettings,
    ModelSettings,
    PushPullSettings,
    RankSettings,
    TrainingSettings,
    TrialConfig,
)

DEFAULT = TrialConfig()
PATHS = tuple(DEFAULT.flat())


def hint_of(path: str) -> Any:
    """Return the declared type of a setting, without its None."""
    hint: Any = TrialConfig
    for name in path.split("."):
        hint = typing.get_type_hints(hint)[name]
    options = typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (hint,) = (option for option in options if option is not type(None))
    return hint


def another(path: str) -> Any:
    """Return a value that a setting may have and that is not its default."""
    value, hint = DEFAULT.flat()[path], hint_of(path)
    if typing.get_origin(hint) is Literal:
        return next(option for option in typing.get_args(hint) if option != value)
    if typing.get_origin(hint) is tuple:
        return [0.5] if path.endswith("milestones") else [2, 4] if path.endswith("severities") else ["contrast"]
    if hint is bool:
        return not value
    if hint is str:
        return "other"
    if path == "data.channels":
        return 3
    if hint is int:
        return (value or 6) + 1
    return (value or 0.5) * 0.75 if path != "push_pull.h" else 3.5


@pytest.mark.parametrize("path", PATHS)
def test_every_setting_round_trips_and_changes_the_digest(path):
    value = another(path)
    changed = DEFAULT.with_settings({path: value})
    assert changed.flat()[path] == value != DEFAULT.flat()[path]
    assert TrialConfig.from_flat(changed.flat()) == changed
    assert changed.digest != DEFAULT.digest
    rest = {name: other for name, other in changed.flat().items() if name != path}
    pair = {"finetune.count": "finetune.fraction", "finetune.fraction": "finetune.count"}.get(path)
    assert rest.items() - pair_items(rest, pair) == pair_free(DEFAULT.flat(), path, pair)


def pair_items(flat: dict[str, Any], pair: str | None) -> Any:
    return {}.items() if pair is None else {pair: flat[pair]}.items()


def pair_free(flat: dict[str, Any], *left_out: str | None) -> Any:
    return {name: value for name, value in flat.items() if name not in left_out}.items()
