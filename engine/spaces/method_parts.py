"""The parts of a method that an ablation takes away, one at a time, and the controls that stand in their place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import InputError, unknown_name
from engine.settings import SIZES, TrialConfig

Settings = Mapping[str, Any]
"""{dotted path: value}."""

CONTROLS: dict[str, Settings] = {
    "placebo": {"push_pull.h": 1.0, "push_pull.alpha": 1.0, "push_pull.learn_alpha": None},
    "random filters": {"finetune.which": "random"},
    "random exemplars": {"rank.features": "random"},
    "no fine-tuning": {"finetune.which": "none"},
}
"""{control that parts have by name: its settings}. A placebo has the layers of push–pull inhibition and computes a
plain convolution; random filters are tuned as those chosen by a ranking; random exemplars represent nothing."""

NATURAL: dict[str, str] = {
    "push_pull.": "placebo",
    "rank.pairing": "random exemplars",
    "rank.features": "random exemplars",
    "rank.": "random filters",
    "finetune.layers": "random filters",
    "finetune.which": "random filters",
    "distortion.": "no fine-tuning",
}
"""{setting, or the beginning of some settings' paths: the control that suits a part of a method that sets it}."""


@dataclass(frozen=True)
class Part:
    """A part of a method.

    Attributes:
        name: short and unique in its ablation ("push-pull").
        without: {dotted path: value} over the full method: what it is without the part.
        control: what stands in the part's place to show what any part of its kind would do: one of ``CONTROLS``, or
            settings over the full method. None for a part that has none.
    """

    name: str
    without: Settings
    control: str | Settings | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "a part")
        object.__setattr__(self, "without", checked_settings(self.without, f"part {self.name!r}: `without`"))
        if isinstance(self.control, str) and self.control not in CONTROLS:
            raise unknown_name("control", self.control, CONTROLS, of=f"part {self.name!r}")
        if self.control is not None and not isinstance(self.control, str):
            control = checked_settings(self.control, f"part {self.name!r}: `control`")
            object.__setattr__(self, "control", control)

    @property
    def control_name(self) -> str:
        """Return what its control is called; "" where it has none."""
        return "" if self.control is None else self.control if isinstance(self.control, str) else "control"

    @property
    def control_settings(self) -> Settings:
        """Return the settings of its control over the full method."""
        return CONTROLS[self.control] if isinstance(self.control, str) else self.control or {}

    @property
    def natural_control(self) -> str | None:
        """Return the name of a control that suits it, by what it sets; None if none is known, or it is one itself."""
        if dict(self.without) in map(dict, CONTROLS.values()):
            return None
        found = (control for start, control in NATURAL.items() for path in self.without if path.startswith(start))
        return next(found, None)


def over(settings: Settings, changes: Settings) -> dict[str, Any]:
    """Return settings with some changed; of the ways to say how many filters are tuned the changes' one stays."""
    dropped = SIZES if any(changes.get(path) is not None for path in SIZES) else ()
    return {path: value for path, value in settings.items() if path not in dropped} | dict(changes)


def check_name(name: object, what: str) -> None:
    """Refuse a name that can be no arm's; raises ``InputError``."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise InputError(f"the name of {what} is a word or several, without line breaks and the like, got {name!r}")


def checked_settings(settings: object, what: str, *, empty: bool = False) -> Settings:
    """Return settings with values as the configuration has them.

    Args:
        settings: {dotted path: value}.
        what: whose they are, for errors.
        empty: whether there may be none.

    Raises:
        InputError: they are none, name no setting, or have a value of another type.
    """
    if not isinstance(settings, Mapping) or not all(isinstance(path, str) for path in settings):
        raise InputError(f"{what} needs settings as {{path: value}}, got {settings!r}")
    if not settings and not empty:
        raise InputError(f"{what} changes nothing: it needs at least one setting")
    try:
        return {path: TrialConfig.convert(path, value) for path, value in settings.items()}
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


def check_distinct(ablation: str, what: str, names: Sequence[str]) -> None:
    """Refuse what an ablation consists of if it is nothing, or two things of one name; raises ``InputError``."""
    double = [name for place, name in enumerate(names) if name in names[:place]]
    if double or not names:
        raise InputError(
            f"ablation {ablation!r} needs {what}s, each with a name of its own, got {', '.join(names) or 'none'}"
        )


def built(items: Any, kind: type[Any], what: str) -> tuple[Any, ...]:
    """Return values of a kind, of which some may be as JSON has them."""
    if not isinstance(items, Iterable) or isinstance(items, str | Mapping):
        raise InputError(f"{what} must be a list of {kind.__name__}, got {items!r}")
    found = tuple(build(kind, item, what) if isinstance(item, Mapping) else item for item in items)
    for item in found:
        if not isinstance(item, kind):
            raise InputError(f"{what} must be a list of {kind.__name__}, got {item!r}")
    return found


def build(kind: type[Any], arguments: Mapping[str, Any], what: str) -> Any:
    """Return a dataclass of named arguments, as JSON has them.

    Raises:
        InputError: there is one too many, or too few.
    """
    known = [item.name for item in dataclasses.fields(kind)]
    for name in arguments:
        if name not in known:
            raise unknown_name("entry", name, known, of=what)
    try:
        return kind(**arguments)
    except TypeError as error:
        raise InputError(f"{what}: {error}") from error
