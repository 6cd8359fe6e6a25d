"""The search space as a value: a base configuration, axes, arms and seeds. It knows neither Optuna nor Ray."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, get_args
from unicodedata import normalize

from engine.digest import digest
from engine.errors import InputError, shown, unknown_setting
from engine.explanation import as_typed
from engine.seeds import derive_seed
from engine.settings import SIZES, TrialConfig
from engine.spaces.ablations import Ablation, ablation_from_json, ablation_to_json
from engine.spaces.arms import WINNER, Arm
from engine.spaces.axes import AXIS_KINDS, Axis, Choice, Float, applies, can_take, describe_values, is_among
from engine.spaces.contrasts import Comparison, Contrast
from engine.spaces.declared import Declared, declare
from engine.spaces.reach import check_axis_matters

_MAX_NAME = 80
_MOST_SEEDS = 10_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Space:
    """What is explored.

    Attributes:
        name: short, of letters, digits, "-" and "_".
        description: the question, in a sentence.
        base: the settings of everything that no axis or arm changes.
        axes: what varies, in the order of its decision: a condition may refer to the axes before it.
        arms: the configurations that are compared like with like; those of the ablations are added behind them.
        n_seeds: repeats of each arm, and of the winner; ≥ 2 for an interval.
        comparisons: of arms, declared before anything is run.
        ablations: what methods are made of, with the arms and comparisons that show it.
        view: what its studies show beside what all do: a name given to ``engine.report.views.register_view``; "" for
            no more.

    Raises:
        InputError: an axis, a condition or an arm that names no setting, or gives it a value that is not allowed; an
            ablation that can show nothing.
    """

    name: str
    description: str = ""
    base: TrialConfig = field(default_factory=TrialConfig)
    axes: tuple[Axis, ...] = ()
    arms: tuple[Arm, ...] = ()
    n_seeds: int = 6
    comparisons: tuple[Comparison, ...] = ()
    ablations: tuple[Ablation, ...] = ()
    view: str = ""

    def __post_init__(self) -> None:
        self._check_types()
        if not _NAME.fullmatch(self.name):  # a study of its name must be one that --study takes
            raise InputError(f"a space's name has letters, digits, '-' and '_', got {self.name!r}")
        if len(self.name) > _MAX_NAME:  # studies, and with them files, are named after it
            raise InputError(f"a space's name has at most {_MAX_NAME} letters, got {len(self.name)}: {self.name!r}")
        if self.n_seeds < 1:
            raise InputError(f"`n_seeds` must be ≥ 1, got {self.n_seeds}")
        if self.n_seeds > _MOST_SEEDS:
            raise InputError(f"`n_seeds` must be at most {_MOST_SEEDS:,}, got {shown(self.n_seeds)}")
        if not self.axes and not self.arms and not self.ablations:
            raise InputError(f"space {self.name!r} has neither axes nor arms: there is nothing to explore")
        _check_unique("axis", [axis.label for axis in self.axes])
        _check_unique("arm", [arm.name for arm in self.arms])
        object.__setattr__(self, "axes", tuple(map(_converted_axis, self.axes)))
        object.__setattr__(self, "arms", tuple(map(_converted_arm, self.arms)))
        self._declare()
        for arm in self.arms:
            if arm.name.strip() in ("", WINNER):
                raise InputError(
                    f"an arm needs a name, and another than {WINNER!r}, the best proposal's; got {arm.name!r}"
                )
        self._check_arms_differ()
        self._check_axes()

    def _declare(self) -> None:
        """Add the ablations' arms, and check what is declared."""
        _check_unique("ablation", [ablation.name for ablation in self.ablations])
        declared = self.declared
        object.__setattr__(self, "arms", (*self.arms, *map(_converted_arm, declared.arms)))
        _check_unique("arm", [arm.name for arm in self.arms])
        if declared.contrasts and self.n_seeds < 2:
            raise InputError(
                f"space {self.name!r} declares comparisons, and their intervals need at least 2 seeds: `n_seeds` is "
                f"{self.n_seeds}"
            )

    @cached_property
    def declared(self) -> Declared:
        """Return what its ablations and comparisons come to; its arms have those of the ablations already."""
        own = {arm.name: arm.settings for arm in self.arms}
        return declare(self.base, own, self.ablations, self.comparisons, searched=bool(self.axes))

    @property
    def family(self) -> tuple[Contrast, ...]:
        """Return the comparisons that are declared beforehand: what is tested, and tested together."""
        return self.declared.contrasts

    def _check_arms_differ(self) -> None:
        """Refuse two arms that are one configuration: their difference is 0, whatever is asked of it."""
        names: dict[str, str] = {}
        for arm in self.arms:
            same = names.setdefault(self.base.with_settings(arm.settings).digest, arm.name)
            if same != arm.name:
                raise InputError(
                    f"arms {same!r} and {arm.name!r} of space {self.name!r} have the same settings "
                    f"({dict(arm.settings) or 'those of the base'}): leave one out, or change one"
                )

    def _check_types(self) -> None:
        """Refuse what is of another kind than it has to be, before anything is made of it; make lists tuples."""
        if not isinstance(self.name, str):
            raise InputError(f"a space's name must be a word, got {self.name!r}")
        if not isinstance(self.base, TrialConfig):
            raise InputError(f"the base of space {self.name!r} must be a TrialConfig, got {self.base!r}")
        if isinstance(self.n_seeds, bool) or not isinstance(self.n_seeds, int):
            raise InputError(f"`n_seeds` must be a whole number, got {self.n_seeds!r}")
        if not isinstance(self.view, str):
            raise InputError(f"the view of space {self.name!r} must be the name of a registered one, got {self.view!r}")
        for what, kinds in (
            ("axes", tuple(AXIS_KINDS.values())),
            ("arms", (Arm,)),
            ("comparisons", (Comparison,)),
            ("ablations", get_args(Ablation)),
        ):
            given = getattr(self, what)
            if isinstance(given, kinds):
                raise InputError(
                    f"the {what} of space {self.name!r} must be a list, got one {type(given).__name__}: put it into "
                    "square brackets"
                )
            items = tuple(given) if isinstance(given, Iterable) else (given,)
            wrong = [item for item in items if not isinstance(item, kinds)]
            if wrong or not isinstance(given, Iterable):
                names = " or ".join(kind.__name__ for kind in kinds)
                raise InputError(f"the {what} of space {self.name!r} must be a list of {names}, got {wrong or given!r}")
            object.__setattr__(self, what, items)
        for arm in self.arms:
            if not isinstance(arm.settings, Mapping) or not all(isinstance(path, str) for path in arm.settings):
                raise InputError(f"arm {arm.name!r} needs settings as {{path: value}}, got {arm.settings!r}")

    def _check_axes(self) -> None:
        """Try every axis's values where it applies, and every condition."""
        self._check_sizes()
        flat = self.base.flat()
        for place, axis in enumerate(self.axes):
            if axis.setting not in flat:
                raise unknown_setting(axis.setting, flat)
            for path in axis.when:
                if path not in flat:
                    raise unknown_setting(path, flat, of=f"condition of axis {axis.label!r}")
                self._check_condition(place, path)
        for axis in self.axes:
            context = check_axis_matters(self, axis)
            tried = axis.extremes()
            if isinstance(axis, Float):  # a value between: the ends of a range may be whole numbers
                tried += (axis.low + (axis.step or (axis.high - axis.low) / 3),)
            for value in tried:
                self.base.with_settings({**context, axis.setting: value})

    def _check_sizes(self) -> None:
        """Refuse two axes that would both say how many filters are tuned: of these settings one is given."""
        sized = [axis for axis in self.axes if axis.setting in SIZES]
        for one, other in itertools.combinations(sized, 2):
            shared = one.when.keys() & other.when.keys()
            apart = any(not any(is_among(value, other.when[path]) for value in one.when[path]) for path in shared)
            if one.setting != other.setting and not apart:
                raise InputError(
                    f"axes {one.label!r} and {other.label!r} both say how many filters are tuned, and one of "
                    f"{', '.join(SIZES)} is given at a time: their conditions must exclude each other"
                )

    def _check_condition(self, place: int, path: str) -> None:
        """Check that a condition of an axis is on what is decided before it, and on values that can come to be.

        A setting that an axis varies has that axis's values, an arm's, or the base's where the axis may not apply; of
        any other the base can be given any value that is allowed.
        """
        axis = self.axes[place]
        condition = f"axis {axis.label!r}: its condition on {path!r}"
        late = [other.label for other in self.axes[place:] if other.setting == path]
        if late:
            raise InputError(
                f"{condition} must be on an axis before it; axis {late[0]!r} "
                + ("is the axis itself" if late[0] == axis.label else "comes after it")
            )
        if not axis.when[path]:
            raise InputError(f"{condition} needs at least one value, got none")
        deciding = [other for other in self.axes[:place] if other.setting == path]
        others = [arm.settings[path] for arm in self.arms if path in arm.settings]
        if all(other.when for other in deciding):
            others.append(self.base.flat()[path])
        for value in axis.when[path]:
            if not deciding:
                self._check_allowed(condition, path, value)
            elif not any(can_take(other, value) for other in deciding) and not is_among(value, tuple(others)):
                possible = [text for other in deciding for text in describe_values(other)]
                possible += [_shown(other) for other in others]
                hint = "; a list is written as one word" if isinstance(value, list) else ""
                raise InputError(
                    f"{condition} can never be {_shown(value)}; possible: {', '.join(dict.fromkeys(possible))}{hint}"
                )

    def _check_allowed(self, condition: str, path: str, value: Any) -> None:
        if value == self.base.flat()[path]:
            return
        try:
            self.base.with_settings({path: value})
        except InputError as error:
            raise InputError(f"{condition} can never be {_shown(value)}: {error}") from error

    def config(self, settings: Mapping[str, Any], *, seed: int) -> TrialConfig:
        """Return the base with some settings and a seed."""
        return self.base.with_settings({**settings, "seed": seed})

    def seeds(self, study_seed: int) -> tuple[int, ...]:
        """Return the seeds of the repeats: derived from the study's, the same for all arms and the winner."""
        return tuple(derive_seed(study_seed, "repeat", repeat) % 2**31 for repeat in range(self.n_seeds))

    def search_seed(self, study_seed: int) -> int:
        """Return the seed of all proposals. No repeat has it: what chose the winner is no part of its comparison."""
        taken = self.seeds(study_seed)
        candidates = (derive_seed(study_seed, "search", attempt) % 2**31 for attempt in itertools.count())
        return next(seed for seed in candidates if seed not in taken)

    def settings_from(self, choose: Callable[[Axis], Any]) -> dict[str, Any]:
        """Return {dotted path: value} with every axis that applies decided by ``choose``, in order."""
        flat, settings = self.base.flat(), {}
        for axis in self.axes:
            if applies(axis, flat):
                settings[axis.setting] = flat[axis.setting] = choose(axis)
        return settings

    def possible(self, path: str) -> list[Any]:
        """Return the values of a setting in the base and the arms, and its axes' values, of ranges the ends."""
        values = [self.base.flat()[path]]
        values += [value for axis in self.axes if axis.setting == path for value in axis.extremes()]
        return values + [arm.settings[path] for arm in self.arms if path in arm.settings]

    def greatest(self, path: str) -> int:
        """Return the greatest value that a setting with whole numbers has in the space."""
        return int(max(self.possible(path)))

    def with_base(self, settings: Mapping[str, Any]) -> Space:
        """Return the space with some settings of its base replaced."""
        return dataclasses.replace(self, base=self.base.with_settings(settings))

    @cached_property
    def digest(self) -> str:
        """Return a hash of everything that decides the trials (12 hexadecimal digits); description and view do not."""
        value = self.to_json()
        del value["description"]
        value.pop("view", None)
        return digest(value)[:12]

    def to_json(self) -> dict[str, Any]:
        """Return the space as a JSON value."""
        kinds = {kind: name for name, kind in AXIS_KINDS.items()}
        axes = [{"kind": kinds[type(axis)], **_plain(dataclasses.asdict(axis))} for axis in self.axes]
        value = {
            "name": self.name,
            "description": self.description,
            "base": self.base.flat(),
            "axes": axes,
            "arms": [_plain(dataclasses.asdict(arm)) for arm in self.arms],
            "n_seeds": self.n_seeds,
        }
        if self.comparisons:
            value["comparisons"] = [_plain(dataclasses.asdict(comparison)) for comparison in self.comparisons]
        if self.ablations:
            value["ablations"] = [_plain(ablation_to_json(ablation)) for ablation in self.ablations]
        if self.view:
            value["view"] = self.view
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, of_record: bool = False) -> Self:
        """Return the space of ``to_json``.

        Args:
            value: the JSON.
            of_record: whether it may have been written with modules which this process has not.
        """
        base = (TrialConfig.from_record if of_record else TrialConfig.from_flat)(value["base"])
        axes = []
        for axis in value["axes"]:
            arguments = dict(axis)
            axes.append(AXIS_KINDS[arguments.pop("kind")](**arguments))
        return cls(
            name=value["name"],
            description=value["description"],
            base=base,
            axes=tuple(axes),
            arms=tuple(Arm(**arm) for arm in value["arms"]),
            n_seeds=value["n_seeds"],
            comparisons=tuple(Comparison(**comparison) for comparison in value.get("comparisons", ())),
            ablations=tuple(map(ablation_from_json, value.get("ablations", ()))),
            view=value.get("view", ""),
        )


def _converted_axis(axis: Axis) -> Axis:
    """Return an axis with values as the configuration has them: 2 is 2.0 where the setting is a real number."""
    _check_variable(axis.setting, f"axis {axis.label!r}")
    axis = dataclasses.replace(axis, when={path: _converted(path, values) for path, values in axis.when.items()})
    if not isinstance(axis, Choice):
        return axis
    values = [TrialConfig.convert(axis.setting, value) for value in axis.values]
    for place, value in enumerate(values):
        if is_among(value, tuple(values[:place])):
            raise InputError(f"axis {axis.label!r} needs values, each once, got {value!r} twice in {axis.values!r}")
    if any(isinstance(value, list) for value in values):
        return axis
    return dataclasses.replace(axis, values=tuple(values))


def _converted(path: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Return a condition's values as the configuration has them; what cannot be one stays, to be refused by name."""
    converted = []
    for value in values:
        try:
            converted.append(TrialConfig.convert(path, value))
        except InputError:
            converted.append(value)
    return tuple(converted)


def _converted_arm(arm: Arm) -> Arm:
    """Return an arm with values as the configuration has them."""
    for setting in arm.settings:
        _check_variable(setting, f"arm {arm.name!r}: {setting!r}")
    settings = {path: TrialConfig.convert(path, value) for path, value in arm.settings.items()}
    return dataclasses.replace(arm, settings=settings)


def _check_variable(setting: str, where: str) -> None:
    """Refuse to vary what is derived, or what all trials of a sweep share so that they can be compared."""
    if setting == "seed" or setting.startswith("data."):
        raise InputError(f"{where}: a sweep has one data set, and seeds are derived")
    if setting.startswith("evaluate."):
        raise InputError(
            f"{where}: trials that are tested or judged on other images cannot be compared; "
            f"`{setting}` is of the base, the same for all"
        )


def _shown(value: Any) -> str:
    """Return a value as a space has it: a list as the word that stands for it."""
    return repr(as_typed(value) if isinstance(value, list) else value)


def _check_unique(kind: str, names: list[str]) -> None:
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise InputError(f"each {kind} needs a name of its own, got twice: {', '.join(double)}")
    alike: dict[str, str] = {}
    for name in names:
        other = alike.setdefault(normalize("NFC", " ".join(name.split())), name)
        if other != name:
            raise InputError(f"each {kind} needs a name of its own: {other!r} and {name!r} look the same")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
