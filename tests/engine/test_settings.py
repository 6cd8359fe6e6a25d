import math
import types
import typing
from typing import Any, Literal

import pytest

from engine.errors import InputError
from engine.extensions import parse_settings
from engine.settings import TrialConfig

DEFAULT = TrialConfig()
TUNED = DEFAULT.with_settings({"finetune.which": "most"})
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
        return {
            "milestones": [0.5],
            "sigmas": [0.2],
            "severities": [2, 4],
            "value_range": [-1.0, 2.0],
            "classes": ["a", "b"],
        }.get(path.split(".")[-1], ["contrast"])
    if hint is bool:
        return not value
    if path == "model.weights":
        return "ab" * 16
    if hint is str:
        return "other"
    if path in ("data.channels", "push_pull.average"):
        return 3 if value is None else 5
    if hint is int:
        return (value or 6) + 1
    return round((value or 0.5) * 0.75, 6) if path != "push_pull.h" else 3.5


@pytest.mark.parametrize("path", PATHS)
def test_every_setting_round_trips_and_changes_the_digest(path):
    value, base = another(path), TUNED if path == "finetune.method" else DEFAULT
    changed = base.with_settings({path: value})
    assert changed.flat()[path] == value != base.flat()[path]
    assert TrialConfig.from_flat(changed.flat()) == changed
    assert changed.digest != base.digest
    companion = "finetune.fraction" if path in ("finetune.count", "finetune.threshold") else None
    assert [name for name in PATHS if changed.flat()[name] != base.flat()[name]] in ([path], [companion, path])


def test_settings_are_equal_in_flat_form_only_if_equal():
    assert TrialConfig.from_flat({}) == DEFAULT
    assert TrialConfig.from_flat({"push_pull.h": 2}).digest == DEFAULT.digest
    assert TrialConfig.from_flat({"push_pull.h": 3}).digest != DEFAULT.digest


def test_flat_holds_json_values_only():
    assert DEFAULT.flat()["evaluate.severities"] == [1, 2, 3, 4, 5]
    assert DEFAULT.flat()["finetune.training.milestones"] == [0.4, 0.6, 0.8]
    assert all(isinstance(value, str | int | float | bool | list | type(None)) for value in DEFAULT.flat().values())


def test_integers_become_floats_and_whole_floats_integers():
    config = DEFAULT.with_settings({"push_pull.alpha": 1, "pretrain.epochs": 3.0})
    assert isinstance(config.push_pull.alpha, float)
    assert isinstance(config.pretrain.epochs, int)
    assert config.pretrain.epochs == 3


def test_a_size_takes_the_place_of_the_others():
    by_count = DEFAULT.with_settings({"finetune.count": 3})
    assert (by_count.finetune.fraction, by_count.finetune.count) == (None, 3)
    by_fraction = by_count.with_settings({"finetune.fraction": 0.5})
    assert (by_fraction.finetune.fraction, by_fraction.finetune.count) == (0.5, None)
    by_threshold = by_count.with_settings({"finetune.threshold": 0.1})
    sizes = by_threshold.finetune
    assert (sizes.fraction, sizes.count, sizes.threshold) == (None, None, 0.1)
    with pytest.raises(InputError, match=r"exactly one of .* got fraction=0.5, count=3, threshold=None"):
        DEFAULT.with_settings({"finetune.count": 3, "finetune.fraction": 0.5})
    with pytest.raises(InputError, match=r"exactly one of .* got fraction=None, count=None, threshold=None"):
        DEFAULT.with_settings({"finetune.fraction": None})


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("evaluate.corruptions=fog,frost", ["fog", "frost"]),
        ("evaluate.corruptions=fog", ["fog"]),
        ("evaluate.corruptions= fog , frost ", ["fog", "frost"]),
        ("evaluate.corruptions=[fog,frost]", ["fog", "frost"]),
        ("evaluate.corruptions=['fog', 'frost']", ["fog", "frost"]),
        ('evaluate.corruptions=["fog","frost"]', ["fog", "frost"]),
        ("evaluate.corruptions=", []),
        ("evaluate.corruptions=[]", []),
        ("evaluate.severities=1,3,5", [1, 3, 5]),
        ("evaluate.severities=3", [3]),
        ("pretrain.milestones=0.5", [0.5]),
        ("pretrain.milestones=0.25,0.5", [0.25, 0.5]),
        ("finetune.across_layers=True", True),
        ("finetune.across_layers=false", False),
        ("model.width=none", None),
        ("model.width=None", None),
        ("model.weights=none", None),
        ("push_pull.learn_alpha=none", None),
        ("push_pull.where=none", "none"),
        ("pretrain.learning_rate=1e-3", 0.001),
        ("pretrain.epochs=1e1", 10),
    ],
)
def test_values_are_read_as_people_type_them(typed, value):
    (path,) = parse_settings([typed])
    changed = DEFAULT.with_settings(parse_settings([typed]))
    assert changed.flat()[path] == value
    assert type(changed.flat()[path]) is type(value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"finetune.method": "network"}, "`finetune.method`=network does nothing while `finetune.which` is none"),
        ({"finetune.which": "most", "finetune.batch_norm": "full"}, "needs `finetune.method`=network, got filters"),
        (
            {"finetune.which": "all", "finetune.method": "correction", "finetune.train_classifier": True},
            "`finetune.train_classifier` is for `finetune.method`=filters, got correction",
        ),
    ],
)
def test_settings_that_a_method_cannot_honour_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        DEFAULT.with_settings(settings)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data.validation_fraction", 1.0, r"`data.validation_fraction` must be in \(0, 1\), got 1.0"),
        ("data.validation_fraction", math.nan, r"in \(0, 1\), got nan"),
        ("data.image_size", 3, "`data.image_size` must be ≥ 4 or None, got 3"),
        ("data.channels", 2, "`data.channels` must be 1, 3 or None, got 2"),
        ("data.n_train", 1, "`data.n_train` must be ≥ 2 or None, got 1"),
        ("data.n_validation", 0, "`data.n_validation` must be ≥ 2 or None"),
        ("data.n_test", -5, "`data.n_test` must be ≥ 2 or None"),
        ("model.width", 0, "`model.width` must be ≥ 1 or None, got 0"),
        ("model.weights", "resnet.pth", r"`model.weights` must be a key in the store .* got 'resnet.pth'"),
        ("push_pull.where", " ", "`push_pull.where` must be none, first"),
        ("push_pull.variant", 2022, "`push_pull.variant` must be one of 2020, 2024, got 2022"),
        ("push_pull.average", 4, "`push_pull.average` must be 0, 3 or 5, got 4"),
        ("push_pull.h", 0.5, "`push_pull.h` must be finite and ≥ 1, got 0.5"),
        ("push_pull.h", math.inf, "`push_pull.h` must be finite and ≥ 1, got inf"),
        ("push_pull.alpha", -0.1, "`push_pull.alpha` must be finite and ≥ 0"),
        (
            "push_pull.learn_alpha",
            "filter",
            "`push_pull.learn_alpha` must be one of layer, kernel, or none, got 'filter'",
        ),
        ("pretrain.epochs", 0, "`pretrain.epochs` must be ≥ 1, got 0"),
        ("pretrain.epochs", 1.5, "`pretrain.epochs` must be a whole number ≥ 1, got 1.5"),
        ("pretrain.epochs", True, "`pretrain.epochs` must be a whole number ≥ 1, got True"),
        ("pretrain.batch_size", 1, "`pretrain.batch_size` must be ≥ 2"),
        ("pretrain.learning_rate", 0, "`pretrain.learning_rate` must be > 0"),
        ("pretrain.learning_rate", math.nan, "`pretrain.learning_rate` must be > 0, got nan"),
        ("pretrain.optimizer", "adamw", "`pretrain.optimizer` must be one of adam, sgd, got 'adamw'"),
        ("pretrain.milestones", [0.5, 1.0], r"`pretrain.milestones` must be in \(0, 1\)"),
        ("pretrain.milestones", None, r"`pretrain.milestones` must be numbers in \(0, 1\), such as 0.4,0.8, got None"),
        (
            "pretrain.milestones",
            "0.5,soon",
            r"`pretrain.milestones` must be numbers in \(0, 1\), such as 0.4,0.8, got 'soon'",
        ),
        (
            "evaluate.severities",
            "1,2.5",
            r"`evaluate.severities` must be whole numbers in \[1, 5\], such as 1,3, got 2.5",
        ),
        ("data.split_seed", -1, "`data.split_seed` must be ≥ 0, got -1"),
        ("pretrain.momentum", 1.0, r"`pretrain.momentum` must be in \[0, 1\)"),
        ("pretrain.weight_decay", -1e-4, "`pretrain.weight_decay` must be ≥ 0"),
        ("pretrain.label_smoothing", 1, r"`pretrain.label_smoothing` must be in \[0, 1\)"),
        ("pretrain.max_gradient_norm", 0.0, "`pretrain.max_gradient_norm` must be > 0 or None, got 0.0"),
        ("finetune.training.max_gradient_norm", math.inf, "`finetune.training.max_gradient_norm` must be > 0 or None"),
        ("finetune.training.patience", 0, "`finetune.training.patience` must be ≥ 1 or None, got 0"),
        ("distortion.level", 0.0, "`distortion.level` must be finite and > 0"),
        ("distortion.n_images", 1, "`distortion.n_images` must be ≥ 2"),
        ("rank.top", 0, r"`rank.top` must be in \[1, 2\*\*31\)"),
        ("rank.n_exemplars", 0, "`rank.n_exemplars` must be ≥ 1"),
        ("finetune.fraction", 1.01, r"`finetune.fraction` must be in \(0, 1\], got 1.01"),
        ("finetune.count", 0, "`finetune.count` must be ≥ 1"),
        ("finetune.threshold", -0.1, "`finetune.threshold` must be a mean distance, finite and ≥ 0, got -0.1"),
        ("finetune.threshold", math.nan, "`finetune.threshold` must be .* got nan"),
        ("finetune.train_classifier", 1, "`finetune.train_classifier` must be true or false, got 1"),
        ("evaluate.severities", [], "`evaluate.severities` must be from 1 to 5"),
        ("evaluate.severities", [1, 6], "`evaluate.severities` must be from 1 to 5"),
        (
            "evaluate.severities",
            [1.5],
            r"`evaluate.severities` must be whole numbers in \[1, 5\], such as 1,3, got 1.5",
        ),
        ("evaluate.n_probe", 1, "`evaluate.n_probe` must be ≥ 2"),
        ("seed", -1, r"`seed` must be in \[0, 2\*\*63\), got -1"),
        ("seed", None, r"`seed` must be a whole number in \[0, 2\*\*63\), got None"),
        ("model.name", 5, "`model.name` must be a word, got 5"),
    ],
)
def test_bad_values_are_refused_with_what_is_allowed(path, value, message):
    with pytest.raises(InputError, match=message):
        DEFAULT.with_settings({path: value})


def test_an_unknown_setting_suggests_the_nearest():
    with pytest.raises(InputError, match=r"unknown setting 'push_pull.alhpa' \(did you mean 'push_pull.alpha'\?\)"):
        DEFAULT.with_settings({"push_pull.alhpa": 1.0})
    with pytest.raises(InputError, match=r"unknown setting 'pretrain.epoch' \(did you mean 'pretrain.epochs'\?\)"):
        TrialConfig.from_flat({"pretrain.epoch": 1})


def test_what_settings_belong_to_is_no_setting():
    with pytest.raises(InputError, match=r"'push_pull' is no setting, but what these belong to: push_pull.alpha, "):
        DEFAULT.with_settings({"push_pull": 1.0})


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        (".003", 0.003),
        ("5.", 5.0),
        ("+.5", 0.5),
        ("-1.e-3", -0.001),
        ("1E-3", 0.001),
        ("3", 3),
        (".", "."),
        ("1.2.3", "1.2.3"),
    ],
)
def test_numbers_are_taken_as_people_type_them(typed, value):
    (found,) = parse_settings([f"x={typed}"]).values()
    assert found == value
    assert type(found) is type(value)


def test_numbers_in_a_list_are_taken_as_people_type_them():
    assert DEFAULT.with_settings(parse_settings(["pretrain.milestones=.4,.8"])).pretrain.milestones == (0.4, 0.8)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("push_pull.alhpa", "(did you mean 'push_pull.alpha'?); known: push_pull.alpha, push_pull."),
        ("push_pul.alpha", "(did you mean 'push_pull.alpha'?); known: push_pull.alpha, push_pull."),
        ("noise.sigma", ": there are no settings of 'noise', but of data, distortion, "),
        ("n_probe", "(did you mean 'evaluate.n_probe'?); known: evaluate.n_probe"),
        ("ranks", "(did you mean 'rank'?); known: "),
    ],
)
def test_of_the_known_settings_the_near_ones_are_listed(path, sentence):
    with pytest.raises(InputError) as refused:
        DEFAULT.with_settings({path: 1})
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 300, "not all of them"
    assert ("--import" in str(refused.value)) == (path == "noise.sigma")


def test_one_setting_with_two_values_is_refused():
    with pytest.raises(InputError, match=r"setting 'pretrain.epochs' has two values, got 3 and 4"):
        parse_settings(["pretrain.epochs=3", "pretrain.epochs=4"])
    assert parse_settings(["pretrain.epochs=3", "pretrain.epochs=3"]) == {"pretrain.epochs": 3}


def test_numbers_beyond_what_floats_hold_are_refused():
    with pytest.raises(InputError, match=r"`pretrain.learning_rate` must be a number below"):
        DEFAULT.with_settings({"pretrain.learning_rate": 10**400})
    with pytest.raises(InputError, match=r"`rank.top` must be a whole number in"):
        DEFAULT.with_settings({"rank.top": 10**23})
