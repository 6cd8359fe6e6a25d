import dataclasses
import json
import re

import pytest

from engine.errors import InputError
from engine.settings import TrialConfig
from engine.spaces import Arm, Choice, Float, Int, Space

AXES = (
    Choice("push_pull.where", ("none", "first")),
    Choice("push_pull.h", (1.5, 2.0), when={"push_pull.where": ("first",)}),
    Choice("push_pull.learn_alpha", (None, "kernel"), when={"push_pull.where": ("first",)}),
    Float("pretrain.learning_rate", 1e-4, 1e-2, log=True),
    Int("pretrain.epochs", 1, 4),
    Float("finetune.fraction", 0.1, 0.5, step=0.1, label="share"),
)
ARMS = (Arm("plain", {"push_pull.where": "none"}, control=True), Arm("tuned", {"finetune.which": "least"}))


TUNED = TrialConfig().with_settings({"finetune.which": "most"})


def make_space(**changes) -> Space:
    settings = {"name": "test", "description": "A question.", "base": TUNED, "axes": AXES, "arms": ARMS, "n_seeds": 3}
    return Space(**settings | changes)


def test_round_trip_through_json():
    space = make_space(base=TUNED.with_settings({"evaluate.severities": [1, 3]}))
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.digest == space.digest


def test_digest_does_not_hear_the_description_and_hears_all_else():
    space = make_space()
    assert make_space(description="Another question.").digest == space.digest
    others = [
        make_space(name="other"),
        make_space(n_seeds=4),
        make_space(axes=AXES[:-1]),
        make_space(axes=(*AXES[:-2], AXES[-1], AXES[-2])),
        make_space(axes=(*AXES[:-1], Float("finetune.fraction", 0.1, 0.5, step=0.2, label="share"))),
        make_space(axes=(*AXES[:-1], Float("finetune.fraction", 0.1, 0.5, step=0.1))),
        make_space(axes=(AXES[0], Choice("push_pull.h", (1.5, 2.0)), *AXES[2:])),
        make_space(arms=ARMS[:1]),
        make_space(arms=(dataclasses.replace(ARMS[0], control=False), ARMS[1])),
        make_space(arms=(Arm("plain", {}, control=True), ARMS[1])),
        space.with_base({"pretrain.batch_size": 32}),
    ]
    assert len({other.digest for other in [space, *others]}) == len(others) + 1


def test_settings_from_decides_axes_in_order_under_their_conditions():
    space, asked = make_space(), []

    def first(axis):
        asked.append(axis.label)
        return axis.extremes()[0]

    assert space.settings_from(first) == {
        "push_pull.where": "none",
        "pretrain.learning_rate": 1e-4,
        "pretrain.epochs": 1,
        "finetune.fraction": 0.1,
    }
    assert asked == ["push_pull.where", "pretrain.learning_rate", "pretrain.epochs", "share"]
    assert space.settings_from(lambda axis: axis.extremes()[-1])["push_pull.h"] == 2.0


def test_a_condition_on_what_no_axis_varies_is_asked_of_the_base():
    axes = (Choice("push_pull.h", (1.5, 2.0), when={"push_pull.where": ("first",)}),)
    assert make_space(axes=axes).settings_from(lambda axis: 1.5) == {}
    based = make_space(axes=axes).with_base({"push_pull.where": "first"})
    assert based.settings_from(lambda axis: 1.5) == {"push_pull.h": 1.5}


def test_config_is_the_base_with_settings_and_a_seed():
    config = make_space().config({"push_pull.where": "first", "pretrain.epochs": 2}, seed=9)
    expected = TUNED.with_settings({"push_pull.where": "first", "pretrain.epochs": 2, "seed": 9})
    assert config == expected


def test_a_count_drops_the_base_s_fraction_in_arms_axes_and_configs():
    space = make_space(axes=(Int("finetune.count", 1, 4),), arms=(Arm("two", {"finetune.count": 2}),))
    config = space.config(space.arms[0].settings, seed=0)
    assert (config.finetune.count, config.finetune.fraction) == (2, None)


def test_seeds_are_derived_from_the_study_s():
    space = make_space()
    assert len(set(space.seeds(0))) == 3
    assert make_space(n_seeds=5).seeds(0)[:3] == space.seeds(0)
    assert not set(space.seeds(0)) & set(space.seeds(1))
    assert all(0 <= seed < 2**31 for seed in space.seeds(2))


def test_the_search_has_a_seed_that_no_repeat_has(monkeypatch):
    space = make_space()
    assert space.search_seed(0) != space.search_seed(1)
    assert 0 <= space.search_seed(0) < 2**31
    assert space.search_seed(0) not in make_space(n_seeds=100).seeds(0)
    derived = {
        ("repeat", 0): 1,
        ("repeat", 1): 2,
        ("repeat", 2): 3,
        ("search", 0): 2,
        ("search", 1): 3,
        ("search", 2): 4,
    }
    monkeypatch.setattr("engine.spaces.space.derive_seed", lambda seed, *purpose: derived[purpose])
    assert space.search_seed(0) == 4


def test_the_greatest_value_is_of_base_axes_and_arms():
    assert make_space(axes=AXES[:3]).greatest("pretrain.epochs") == 8
    assert make_space(axes=(Int("pretrain.epochs", 1, 40),)).greatest("pretrain.epochs") == 40
    assert make_space(arms=(Arm("long", {"pretrain.epochs": 100}),)).greatest("pretrain.epochs") == 100


def on_where(*values: str) -> Choice:
    return Choice("pretrain.batch_size", (32, 64), when={"push_pull.where": values})


def on(**conditions) -> Choice:
    return Choice("pretrain.batch_size", (32, 64), when={path.replace("__", "."): v for path, v in conditions.items()})


@pytest.mark.parametrize(
    "settings",
    [{"push_pull.where": "first"}, {"push_pull.where": "first", "model.name": TUNED.model.name}],
    ids=["the same", "the base's written out"],
)
def test_two_arms_with_the_same_settings_are_refused_by_name(settings):
    arms = (Arm("one", {"push_pull.where": "first"}), Arm("two", settings))
    with pytest.raises(InputError, match="arms 'one' and 'two' of space 'test' have the same settings"):
        make_space(arms=arms)
    make_space(arms=(arms[0], Arm("two", {**settings, "push_pull.h": 1.0})))


STEPPED = TUNED.with_settings({"pretrain.schedule": "step"})
MILESTONES = Choice("pretrain.milestones", ("0.5, 0.75", "0.5"))


@pytest.mark.parametrize("asked", ["0.5,0.75", ("0.5,0.75",), ([0.5, 0.75],)])
def test_a_condition_may_be_on_a_list(asked):
    where = Choice("push_pull.where", ("none", "first"), when={"pretrain.milestones": asked})
    space = make_space(base=STEPPED, axes=(MILESTONES, where), arms=())
    for milestones, applies in (("0.5, 0.75", True), ("0.5", False)):
        chosen = {"pretrain.milestones": milestones, "push_pull.where": "first"}
        assert ("push_pull.where" in space.settings_from(lambda axis, chosen=chosen: chosen[axis.setting])) is applies


def test_a_condition_on_a_list_that_can_never_be_is_said_as_it_is_written():
    where = Choice("push_pull.where", ("none", "first"), when={"pretrain.milestones": (0.25, 0.75)})
    words = (
        "axis 'push_pull.where': its condition on 'pretrain.milestones' can never be '0.25'; possible: '0.5, 0.75', "
        "'0.5'; a list is written as one word"
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        make_space(base=STEPPED, axes=(MILESTONES, where), arms=())


def test_arms_that_differ_in_what_their_settings_alone_would_not_show_are_two():
    """Momentum without SGD comes to the same numbers, but a base given from outside may have SGD."""
    arms = tuple(Arm(str(value), {"pretrain.momentum": value}) for value in (0.8, 0.9))
    assert make_space(arms=arms).arms == arms


@pytest.mark.parametrize(
    ("axes", "arms"),
    [
        (
            (Choice("push_pull.where", ("first", "all")), on_where("none", "all")),
            (Arm("plain", {"push_pull.where": "none"}),),
        ),
        ((Choice("push_pull.where", ("first",), when={"finetune.which": "least"}), on_where("none")), ()),
        ((Int("pretrain.epochs", 1, 4), on(pretrain__epochs=(2,))), ()),
        ((on(finetune__count=(None,)),), ()),
        ((on(finetune__which=("least",), pretrain__optimizer=("sgd",)),), ()),
    ],
)
def test_a_condition_may_be_on_what_an_axis_an_arm_or_the_base_can_be(axes, arms):
    assert make_space(axes=axes, arms=arms).axes == axes


def test_a_condition_holds_on_the_value_that_a_person_means():
    space = make_space(
        axes=(Float("finetune.fraction", 0.1, 0.5, step=0.1), on(finetune__fraction=(0.1 + 0.2,))), arms=()
    )
    assert space.axes[1].when == {"finetune.fraction": (0.3,)}
    chosen = iter([0.3, 32])
    assert space.settings_from(lambda axis: next(chosen)) == {"finetune.fraction": 0.3, "pretrain.batch_size": 32}


IDLE = "axis 'idle' can change nothing: "


@pytest.mark.parametrize(
    ("base", "axes", "message"),
    [
        (
            {},
            (Float("push_pull.alpha", 0.5, 1.5, label="idle"),),
            "where `push_pull.where` is not none, got push_pull.where=none",
        ),
        (
            {},
            (AXES[0], Float("push_pull.alpha", 0.5, 1.5, when={"push_pull.where": "none"}, label="idle")),
            "where `push_pull.where` is not none, got push_pull.where=none",
        ),
        (
            {},
            (Choice("finetune.which", ("all", "none")), Choice("rank.distance", ("l1", "l2"), label="idle")),
            "filters are ranked",
        ),
        (
            {"finetune.which": "most"},
            (Choice("rank.metric", ("hamming", "euclidean"), label="idle"),),
            "`rank.pairing` is unpaired",
        ),
        (
            {"finetune.which": "most", "finetune.fraction": 1.0},
            (Int("rank.top", 1, 9, label="idle"),),
            "not all are tuned",
        ),
        (
            {},
            (Choice("pretrain.momentum", (0.5, 0.9), label="idle"),),
            "`pretrain.optimizer` is sgd, got pretrain.optimizer=adam",
        ),
        (
            {},
            (Int("pretrain.patience", 8, 20, label="idle"),),
            "`pretrain.patience` is less than `pretrain.epochs`, got pretrain.epochs=8",
        ),
        ({"model.weights": "ab" * 16}, (Int("pretrain.epochs", 2, 8, label="idle"),), "the network is trained"),
        ({}, (Float("distortion.level", 5, 50, label="idle"),), "`finetune.which` is not none"),
        (
            {"finetune.which": "all", "finetune.method": "network"},
            (Choice("finetune.which", ("all", "most"), label="idle"),),
            "`finetune.method` is filters or correction",
        ),
        (
            {},
            (
                AXES[0],
                Choice("push_pull.h", (1.5, 2.0), when={"push_pull.where": ("first",)}),
                Choice("pretrain.epochs", (1, 2), when={"push_pull.where": "none", "push_pull.h": 1.5}, label="idle"),
            ),
            "no proposal meets its condition `push_pull.where` none (the axis has none, first) and its condition "
            "`push_pull.h` 1.5 (the axis has 1.5, 2.0)",
        ),
    ],
)
def test_an_axis_that_can_change_nothing_is_refused_by_name(base, axes, message):
    with pytest.raises(InputError, match=re.escape(IDLE) + ".*" + re.escape(message)):
        Space(name="idle", base=TrialConfig().with_settings(base), axes=axes)


@pytest.mark.parametrize(
    ("base", "axes"),
    [
        ({}, (Float("push_pull.alpha", 0.5, 1.5), Choice("push_pull.where", ("none", "first")))),
        (
            {},
            (
                Choice("finetune.which", ("random",)),
                Choice("rank.distance", ("l1", "l2")),
                Float("finetune.threshold", 0.1, 1),
            ),
        ),
        ({}, (Int("pretrain.patience", 7, 20),)),
        ({}, (Int("pretrain.patience", 8, 20), Int("pretrain.epochs", 2, 12))),
        (
            {"finetune.which": "all", "model.weights": "ab" * 16},
            (Choice("finetune.method", ("retrain", "network")), Int("pretrain.epochs", 2, 8)),
        ),
        ({}, (Float("finetune.fraction", 0.1, 1.0, when={"finetune.which": "most"}),)),
        (
            {},
            (
                Choice("finetune.which", ("none", "all")),
                Choice("finetune.method", ("filters", "network"), when={"finetune.which": "all"}),
                Choice("finetune.batch_norm", ("affine", "full"), when={"finetune.method": "network"}),
            ),
        ),
    ],
)
def test_an_axis_that_can_matter_is_taken_wherever_its_conditions_are_decided(base, axes):
    assert len(Space(name="live", base=TrialConfig().with_settings(base), axes=axes).axes) == len(axes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a space"}, "a space's name has letters, digits, '-' and '_', got 'a space'"),
        ({"name": ""}, "a space's name has letters"),
        ({"name": "../x"}, "a space's name has letters"),
        ({"name": "x" * 81}, "a space's name has at most 80 letters, got 81"),
        ({"n_seeds": 0}, "`n_seeds` must be ≥ 1, got 0"),
        ({"n_seeds": "3"}, "`n_seeds` must be a whole number, got '3'"),
        ({"n_seeds": 2.5}, "`n_seeds` must be a whole number, got 2.5"),
        ({"name": 3}, "a space's name must be a word, got 3"),
        (
            {"base": {"pretrain.epochs": 2}},
            "the base of space 'test' must be a TrialConfig, got {'pretrain.epochs': 2}",
        ),
        (
            {"axes": ("push_pull.h",)},
            r"the axes of space 'test' must be a list of Choice or Float or Int, got \['push_pu",
        ),
        ({"axes": AXES[0]}, r"the axes of space 'test' must be a list, got one Choice: put it into"),
        ({"arms": ({"name": "plain"},)}, r"the arms of space 'test' must be a list of Arm, got \[{'name': 'plain'}\]"),
        ({"arms": (Arm("plain", ("push_pull.where",)),)}, "arm 'plain' needs settings as {path: value}, got"),
        ({"axes": (), "arms": ()}, "space 'test' has neither axes nor arms"),
        ({"axes": (AXES[0], AXES[0])}, "each axis needs a name of its own, got twice: push_pull.where"),
        ({"arms": (ARMS[0], ARMS[0])}, "each arm needs a name of its own, got twice: plain"),
        (
            {"arms": (Arm("odd", {"push_pull.hh": 2}),)},
            r"unknown setting 'push_pull.hh' \(did you mean 'push_pull.h'\?\)",
        ),
        ({"arms": (Arm("odd", {"push_pull.h": 0.5}),)}, "`push_pull.h` must be finite and ≥ 1, got 0.5"),
        ({"axes": (Choice("push_pull.hh", (2.0,)),)}, "unknown setting 'push_pull.hh'"),
        ({"axes": (Float("push_pull.hh", 1, 2),)}, r"unknown setting 'push_pull.hh' \(did you mean 'push_pull.h'\?\)"),
        (
            {"axes": (Int("pretrain.epoch", 1, 2),)},
            r"unknown setting 'pretrain.epoch' \(did you mean 'pretrain.epochs'",
        ),
        ({"axes": (Float("wnoise.sigma", 1, 2),)}, "unknown setting 'wnoise.sigma': there are no settings of 'wnoise'"),
        ({"axes": (AXES[0], Choice("push_pull.h", (2.0, 0.5)))}, "`push_pull.h` must be finite and ≥ 1, got 0.5"),
        ({"axes": (AXES[0], Choice("push_pull.h", (0.5, 0.25)))}, "`push_pull.h` must be finite and ≥ 1, got 0.5"),
        ({"axes": (AXES[0], Choice("push_pull.h", ("2", "3")))}, "`push_pull.h` must be a number ≥ 1, got '2'"),
        ({"axes": (Float("finetune.fraction", 0.5, 1.5),)}, r"`finetune.fraction` must be in \(0, 1\], got 1.5"),
        ({"axes": (Float("pretrain.epochs", 1, 3),)}, "`pretrain.epochs` must be a whole number ≥ 1"),
        ({"axes": (Choice("seed", (1, 2)),)}, "axis 'seed': .*seeds are derived"),
        ({"arms": (Arm("second", {"seed": 2}),)}, "arm 'second': 'seed': .*seeds are derived"),
        ({"arms": (Arm("half", {"data.n_train": 50}),)}, "arm 'half': 'data.n_train': .*one data set"),
        ({"axes": (Int("data.n_train", 10, 20),)}, "axis 'data.n_train': a sweep has one data set"),
        (
            {"axes": (Choice("push_pull.h", (2.0,), when={"push_pull.wher": ("first",)}),)},
            r"condition of axis 'push_pull.h': unknown setting 'push_pull.wher' \(did you mean 'push_pull.where'",
        ),
        ({"axes": (AXES[0], on_where())}, "its condition on 'push_pull.where' needs at least one value, got none"),
        (
            {"axes": (AXES[1], AXES[0])},
            r"axis 'push_pull.h': its condition on 'push_pull.where' must be on an axis before it; axis "
            r"'push_pull.where' comes after it",
        ),
        (
            {"axes": (Choice("push_pull.h", (2.0,), when={"push_pull.h": 2.0}),)},
            "axis 'push_pull.h': its condition on 'push_pull.h' must be on an axis before it; .* is the axis itself",
        ),
        (
            {"axes": (AXES[0], Choice("push_pull.h", (2.0,), when={"push_pull.where": ("first", "frist")}))},
            r"axis 'push_pull.h': its condition on 'push_pull.where' can never be 'frist'; possible: 'none', 'first'$",
        ),
        (
            {"axes": (Choice("push_pull.where", ("first", "all")), on_where("first_block")), "arms": ()},
            "its condition on 'push_pull.where' can never be 'first_block'; possible: 'first', 'all'$",
        ),
        (
            {"axes": (Choice("push_pull.where", ("first", "all")), on_where("none")), "arms": ()},
            "its condition on 'push_pull.where' can never be 'none'; possible: 'first', 'all'$",
        ),
        (
            {
                "axes": (
                    Int("pretrain.epochs", 2, 8, step=2),
                    Choice("push_pull.h", (2.0,), when={"pretrain.epochs": 3}),
                )
            },
            "its condition on 'pretrain.epochs' can never be 3; possible: 2 to 8 in steps of 2$",
        ),
        (
            {"axes": (AXES[3], Choice("push_pull.h", (2.0,), when={"pretrain.learning_rate": 0.5}))},
            r"its condition on 'pretrain.learning_rate' can never be 0.5; possible: 0.0001 to 0.01$",
        ),
        (
            {"axes": (Choice("push_pull.h", (2.0,), when={"finetune.which": "moust"}),)},
            "axis 'push_pull.h': its condition on 'finetune.which' can never be 'moust': `finetune.which` must be",
        ),
    ],
)
def test_bad_spaces_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        make_space(**changes)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("evaluate.corruptions", ["contrast"]),
        ("evaluate.severities", [5]),
        ("evaluate.table", "cifar-c"),
        ("evaluate.objective", ["contrast"]),
        ("evaluate.n_probe", 100),
    ],
)
def test_what_trials_are_tested_on_is_the_same_for_all(setting, value):
    with pytest.raises(InputError, match=f"arm 'other': '{setting}': trials that are tested or judged on other images"):
        make_space(arms=(*ARMS, Arm("other", {setting: value})))
    if not isinstance(value, list):
        with pytest.raises(InputError, match=f"axis '{setting}': .* cannot be compared; `{setting}` is of the base"):
            make_space(axes=(*AXES, Choice(setting, (value,))))
    assert make_space(base=TUNED.with_settings({setting: value}))


@pytest.mark.parametrize("name", ["", " ", "winner", "winner "])
def test_no_arm_is_called_as_what_is_not_one(name):
    with pytest.raises(InputError, match=f"an arm needs a name, and another than 'winner', .* got '{name}'"):
        make_space(arms=(Arm(name, {}),))


@pytest.mark.parametrize("name", ["-x", "_x", "ünï", "٢"])
def test_a_space_has_a_name_that_a_study_can_have(name):
    with pytest.raises(InputError, match="a space's name has letters"):
        make_space(name=name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Arm(3, {}), "an arm's name is a word"),
        (lambda: Arm("a\nb", {}), "an arm's name is a word"),
        (lambda: Arm("a\ud800", {}), "an arm's name is a word"),
        (lambda: make_space(arms=(Arm("a", {("x",): 3}),)), "needs settings as"),
        (lambda: Arm("a", {}, control="yes"), "`control` must be True or False"),
        (lambda: Int(None, 1, 2), "an axis's setting is a word"),
        (lambda: Int("pretrain.epochs", 1, 2, label="a\0"), "an axis's label is a word"),
        (lambda: Int("pretrain.epochs", 1, 10**400), "needs a number that floats can hold for high"),
    ],
)
def test_arms_and_axes_of_the_wrong_things_are_one_sentence(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_an_axis_that_another_one_overrules_can_change_nothing():
    levels = (Float("distortion.level", 1, 2, label="mild"), Float("distortion.level", 3, 4, label="strong"))
    with pytest.raises(InputError, match="axis 'mild' can change nothing: axis 'strong', which comes after it"):
        make_space(axes=levels)
    named = [
        dataclasses.replace(axis, when={"distortion.name": (n,)})
        for axis, n in zip(levels, ("awgn", "blur"), strict=True)
    ]
    make_space(axes=(Choice("distortion.name", ("awgn", "blur")), *named))
    make_space(axes=(Choice("distortion.name", ("awgn", "blur")), levels[0], named[1]))  # where it is awgn


def test_two_axes_that_both_say_how_many_filters_are_refused_unless_they_exclude_each_other():
    most = {"finetune.which": ("most",)}
    sizes = (Float("finetune.fraction", 0.1, 0.5, when=most), Int("finetune.count", 1, 4, when=most))
    which = Choice("finetune.which", ("most", "least"))
    with pytest.raises(InputError, match=r"axes 'finetune.fraction' and 'finetune.count' both say how many filters"):
        make_space(axes=(which, *sizes))
    apart = dataclasses.replace(sizes[1], when={"finetune.which": ("least",)})
    make_space(axes=(which, sizes[0], apart))
