import dataclasses
import json

import pytest

from engine.errors import InputError
from engine.settings import ModelSettings, TrialConfig
from engine.spaces import (
    Arm,
    Choice,
    Comparison,
    Factor,
    Factorial,
    LeaveOneOut,
    OneAtATime,
    Part,
    Space,
    load_space,
    one_each,
)
from engine.spaces.contrasts import check_tested

BASE = TrialConfig(model=ModelSettings(name="resnet-8"))
METHOD = {"push_pull.where": "first", "push_pull.h": 2, "finetune.which": "most"}
PARTS = (
    Part("push-pull", {"push_pull.where": "none"}, control="placebo"),
    Part("tuning", {"finetune.which": "none"}),
    Part("selection", {"finetune.which": "all"}, control="random filters"),
)
LEFT_OUT = LeaveOneOut("method", parts=PARTS, full=METHOD, outcomes=("noise", "clean"))
CHANGED = OneAtATime("choices", one_each({"rank.distance": ("l2", "cosine"), "finetune.fraction": (0.5,)}), METHOD)
COMBINED = Factorial(
    "both",
    (
        Factor("push-pull", {"push_pull.where": "first"}, {"push_pull.where": "none"}),
        Factor("tuning", {"finetune.which": "most"}, {"finetune.which": "none"}),
    ),
)


def space(*ablations, **others) -> Space:
    return Space(**{"name": "s", "base": BASE, "ablations": ablations, **others})


def weights(found: Space) -> dict[str, dict[str, float]]:
    return {contrast.name: dict(contrast.weights) for contrast in found.family}


def test_leaving_one_out_has_an_arm_without_each_part_and_one_for_each_control():
    found = space(LEFT_OUT)
    arms = {arm.name: arm.settings for arm in found.arms}
    assert list(arms) == [
        "full",
        "without push-pull",
        "placebo for push-pull",
        "without tuning",
        "without selection",
        "random filters for selection",
    ]
    assert arms["full"] == METHOD
    assert arms["without tuning"] == {**METHOD, "finetune.which": "none"}
    assert arms["placebo for push-pull"] == {
        **METHOD,
        "push_pull.h": 1.0,
        "push_pull.alpha": 1.0,
        "push_pull.learn_alpha": None,
    }
    assert [arm.name for arm in found.arms if arm.control] == ["full"]
    assert weights(found) == {
        "push-pull − without it": {"full": 1, "without push-pull": -1},
        "push-pull − placebo": {"full": 1, "placebo for push-pull": -1},
        "tuning − without it": {"full": 1, "without tuning": -1},
        "selection − without it": {"full": 1, "without selection": -1},
        "selection − random filters": {"full": 1, "random filters for selection": -1},
    }
    assert {contrast.outcomes for contrast in found.family} == {("noise", "clean")}


def test_one_at_a_time_changes_one_setting_of_the_reference():
    found = space(CHANGED)
    arms = {arm.name: arm.settings for arm in found.arms}
    assert arms == {
        "reference": METHOD,
        "distance=l2": {**METHOD, "rank.distance": "l2"},
        "distance=cosine": {**METHOD, "rank.distance": "cosine"},
        "fraction=0.5": {**METHOD, "finetune.fraction": 0.5},
    }
    assert weights(found)["distance=l2 − reference"] == {"distance=l2": 1, "reference": -1}


def test_a_full_factorial_has_all_combinations_and_the_effects_of_a_hand_worked_one():
    found = space(COMBINED)
    assert [arm.name for arm in found.arms] == ["push-pull + tuning", "push-pull", "tuning", "nothing"]
    both, first, second, nothing = 1.0, 3.0, 4.0, 8.0  # errors
    errors = dict(zip([arm.name for arm in found.arms], (both, first, second, nothing), strict=True))
    effects = {name: sum(errors[arm] * w for arm, w in of.items()) for name, of in weights(found).items()}
    assert effects == {
        "push-pull": ((both - second) + (first - nothing)) / 2,
        "tuning": ((both - first) + (second - nothing)) / 2,
        "push-pull × tuning": (both - second) - (first - nothing),
    }


def factors(n: int) -> tuple[Factor, ...]:
    settings = ("rank.top", "finetune.training.epochs", "pretrain.epochs", "distortion.n_images", "rank.n_exemplars")
    return tuple(Factor("ABCDE"[i], {settings[i]: 12}, {settings[i]: 6}) for i in range(n))


def test_a_fraction_says_what_it_cannot_tell_apart():
    half = Factorial("half", factors(4), resolution=4)
    assert half.described() == (
        "A × B × C × D, 8 of 16 combinations: resolution IV, interactions of two factors are confused with each other"
    )
    found = {contrast.name: contrast for contrast in half.contrasts()}
    assert list(found) == ["A", "B", "C", "D", "A × B (or C × D)", "A × C (or B × D)", "A × D (or B × C)"]
    third = Factorial("third", factors(3), resolution=3)
    assert [contrast.name for contrast in third.contrasts()] == ["A (or B × C)", "B (or A × C)", "C (or A × B)"]
    for contrast in (*half.contrasts(), *third.contrasts()):
        assert sum(contrast.weights.values()) == 0
        assert sum(map(abs, contrast.weights.values())) == (4 if contrast.kind == "interaction" else 2)


@pytest.mark.parametrize("ablations", [(LEFT_OUT,), (CHANGED,), (COMBINED,), (LEFT_OUT, CHANGED, COMBINED)])
def test_a_space_with_ablations_is_a_value_that_round_trips_through_json(ablations, tmp_path):
    found = space(*ablations, axes=(Choice("push_pull.where", ("none", "first")),))
    (tmp_path / "s.json").write_text(json.dumps(found.to_json()))
    again = load_space(tmp_path / "s.json")
    assert again == found
    assert (again.digest, again.family, again.arms) == (found.digest, found.family, found.arms)
    other = found.with_base({"pretrain.epochs": 3})
    assert [arm.name for arm in other.arms] == [arm.name for arm in found.arms]


def test_json_may_leave_the_arms_of_an_ablation_to_it(tmp_path):
    value = space(LEFT_OUT).to_json()
    (tmp_path / "s.json").write_text(json.dumps({**value, "arms": []}))
    assert load_space(tmp_path / "s.json") == space(LEFT_OUT)


def test_what_is_declared_is_part_of_a_space_s_digest_and_its_absence_is_not():
    arms = (Arm("plain", {}), Arm("push-pull", {"push_pull.where": "first"}))
    without = space(arms=arms)
    assert not {"comparisons", "ablations"} & set(without.to_json())
    declared = dataclasses.replace(without, comparisons=(Comparison("push-pull", "plain"),))
    assert declared.digest != without.digest


def test_an_arm_that_ablations_or_the_space_have_already_is_run_once():
    own = (Arm("as it is", METHOD), Arm("plain", {"push_pull.where": "none"}, control=True))
    found = space(LEFT_OUT, CHANGED, arms=own)
    names = [arm.name for arm in found.arms]
    assert "method: full" not in names
    assert "choices: reference" not in names
    assert dict(found.family[0].weights) == {"as it is": 1, "method: without push-pull": -1}
    assert dict(found.family[-1].weights) == {"choices: fraction=0.5": 1, "as it is": -1}


def test_the_way_to_say_how_many_filters_are_tuned_can_be_what_changes():
    found = space(OneAtATime("choices", {"count": {"finetune.count": 3}}, {**METHOD, "finetune.fraction": 0.5}))
    assert "finetune.fraction" not in found.arms[1].settings
    assert found.config(found.arms[1].settings, seed=0).finetune.count == 3


def test_a_winner_can_be_compared_where_there_is_a_search():
    arms, axes = (Arm("plain", {}),), (Choice("push_pull.where", ("none", "first")),)
    against = (Comparison("winner", "plain"),)
    assert space(arms=arms, axes=axes, comparisons=against).family[0].weights == {"winner": 1, "plain": -1}
    with pytest.raises(InputError, match="comparison 'winner − plain': unknown arm 'winner'"):
        space(arms=arms, comparisons=against)


def one_part(*args, **others) -> LeaveOneOut:
    return LeaveOneOut("m", (Part("p", *args, **others),), METHOD)


ARMS = (Arm("a", {}), Arm("b", {"push_pull.where": "first"}))
REFUSED = {
    "a part without settings": (lambda: Part("p", {}), "part 'p': `without` changes nothing"),
    "a part of an unknown setting": (lambda: Part("p", {"rank.distanc": "l2"}), "part 'p': `without`: .*rank.distance"),
    "an unknown control": (
        lambda: Part("p", {"rank.top": 3}, control="placebo!"),
        "part 'p': unknown control .* mean 'placebo'",
    ),
    "a part that changes nothing": (
        lambda: space(one_part({"push_pull.h": 2})),
        "part 'p' of ablation 'm' changes nothing: without it .`push_pull.h`=2.0. the settings are those of the full",
    ),
    "a control that leaves the full method": (
        lambda: space(one_part({"push_pull.where": "none"}, control={"push_pull.h": 2.0})),
        "part 'p' of ablation 'm': 'control' is no control: with it .* those of the full method",
    ),
    "a control that leaves the part out": (
        lambda: space(one_part({"finetune.which": "none"}, control="no fine-tuning")),
        "'no fine-tuning' is no control: .* those of leaving the part out",
    ),
    "two parts that are one": (
        lambda: space(LeaveOneOut("m", (Part("p", {"rank.top": 3}), Part("q", {"rank.top": 3})), METHOD)),
        "arms 'without p' and 'without q' have the same settings",
    ),
    "an alternative that is the reference": (
        lambda: space(OneAtATime("m", one_each({"push_pull.h": (2, 3)}), METHOD)),
        "arms 'reference' and 'h=2' have the same settings",
    ),
    "no parts": (lambda: LeaveOneOut("m", ()), "ablation 'm' needs parts, .* got none"),
    "parts of one name": (lambda: LeaveOneOut("m", PARTS[:1] * 2), "each with a name of its own"),
    "no alternatives": (lambda: OneAtATime("m", {}), "needs alternatives as"),
    "a factor alone": (lambda: Factorial("m", COMBINED.factors[:1]), "from 2 to 8 factors, got 1"),
    "factors that set the same": (
        lambda: Factorial("m", (COMBINED.factors[0], Factor("x", {"push_pull.where": "all"}, {"rank.top": 3}))),
        "factors 'push-pull' and 'x' both set `push_pull.where`",
    ),
    "arms of one name": (
        lambda: space(
            Factorial("m", (*COMBINED.factors[:2], Factor("push-pull + tuning", {"rank.top": 3}, {"rank.top": 4})))
        ),
        "ablation 'm' would have two arms 'push-pull . tuning'",
    ),
    "a factor called as that without any": (
        lambda: space(Factorial("m", (COMBINED.factors[0], Factor("nothing", {"rank.top": 3}, {"rank.top": 4})))),
        "ablation 'm' would have two arms 'nothing'",
    ),
    "arms of two ablations with one name": (
        lambda: space(
            OneAtATime("m", {"b: c": {"rank.top": 3}}), OneAtATime("m: b", {"c": {"rank.top": 4}}, {"rank.top": 5})
        ),
        "ablation 'm: b' has an arm 'm: b: c', and so has an ablation before it",
    ),
    "arms that look the same": (
        lambda: space(OneAtATime("m", {"a": {"rank.top": 3}, "a ": {"rank.top": 4}})),
        "'a' and 'a ' look the same",
    ),
    "arms of the same letters in other signs": (
        lambda: space(OneAtATime("m", {"\u00e9": {"rank.top": 3}, "e\u0301": {"rank.top": 4}})),
        "look the same",
    ),
    "a part that varies the data": (lambda: space(one_part({"data.n_train": 10})), "a sweep has one data set"),
    "ablations of one name": (
        lambda: space(LEFT_OUT, dataclasses.replace(CHANGED, name="method")),
        "got twice: method",
    ),
    "an arm that the space has otherwise": (
        lambda: space(LEFT_OUT, arms=(Arm("full", {"rank.top": 3}),)),
        "has an arm 'full', and so has the space",
    ),
    "one seed": (lambda: space(LEFT_OUT, n_seeds=1), "need at least 2 seeds: `n_seeds` is 1"),
    "a comparison with an unknown arm": (
        lambda: space(arms=ARMS, comparisons=(Comparison("c", "b"),)),
        "comparison 'c − b': unknown arm 'c'",
    ),
    "a comparison with itself": (lambda: Comparison("a", "a"), "with another one than itself"),
    "no outcome": (lambda: Comparison("a", "b", ()), "`outcomes` must be errors such as"),
    "a comparison twice": (
        lambda: space(arms=ARMS, comparisons=(Comparison("a", "b"), Comparison("b", "a", ("clean", "all")))),
        "comparisons 'a − b' and 'b − a' are one, by 'all'",
    ),
    "one value for each": (
        lambda: one_each({"finetune.fraction": 0.1}),
        "one_each: the values of 'finetune.fraction' are a list, got 0.1",
    ),
    "a word's letters for each": (lambda: one_each({"rank.distance": "l2"}), "'rank.distance' are a list, got 'l2'"),
    "something else as an ablation": (lambda: space("method"), "the ablations of space 's' must be a list of Leave"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_can_show_nothing_is_refused_by_name(what):
    make, match = REFUSED[what]
    with pytest.raises(InputError, match=match):
        make()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"kind": "leave-two-out"}, "unknown kind of ablation 'leave-two-out'"),
        ({"part": []}, "ablation 'method': unknown entry 'part' .did you mean 'parts'"),
        ({"parts": [{"name": "p"}]}, "missing 1 required positional argument: 'without'"),
        ({"parts": ["p"]}, "`parts` must be a list of Part"),
    ],
)
def test_json_that_is_no_ablation_is_refused(change, match, tmp_path):
    value = space(LEFT_OUT).to_json()
    value["ablations"][0] |= change
    (tmp_path / "s.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match=match):
        load_space(tmp_path / "s.json")


def test_what_is_compared_by_the_distortion_tuned_on_is_tuned_on_one():
    family = [Comparison("most", "least", ("tuned on", "clean")).contrast()]
    check_tested(family, ["fog"], {"most": "blur 2", "least": "blur 2"})
    with pytest.raises(InputError, match=r"'most − least': .* 'most' is tuned on blur 2, 'least' is tuned on blur 3"):
        check_tested(family, ["fog"], {"most": "blur 2", "least": "blur 3"})
    for known in ({"most": "blur 2"}, {}):
        with pytest.raises(InputError, match="'least' is tuned on nothing that is known before"):
            check_tested(family, ["fog"], known)


def test_outcomes_must_be_tested_and_be_numbers_of_their_own():
    family = space(LEFT_OUT).family
    check_tested(family, ["gaussian_noise", "shot_noise"])
    with pytest.raises(InputError, match="comparison 'push-pull − without it': unknown tested outcome"):
        check_tested(family, ["fog"])
    both = space(dataclasses.replace(LEFT_OUT, outcomes=("noise", "gaussian_noise"))).family
    check_tested(both, ["gaussian_noise", "shot_noise"])
    with pytest.raises(InputError, match=r"'noise' and 'gaussian_noise' are one number here, .* leave one out"):
        check_tested(both, ["gaussian_noise", "fog"])
