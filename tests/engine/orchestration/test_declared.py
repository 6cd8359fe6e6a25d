"""What a space declares is checked by the stages' keys before anything starts, and the dry run shows it."""

from io import StringIO

import pytest
from rich.console import Console

from engine.errors import InputError
from engine.metrics.inference import smallest_effect
from engine.orchestration.dry_run import print_dry_run
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import Prepared, prepare
from engine.orchestration.sweep_words import opening_notes
from engine.spaces import Factor, Factorial, LeaveOneOut, OneAtATime, Part, Space
from tests.engine.orchestration.spaces import TINY

METHOD = {"push_pull.where": "first", "finetune.which": "most", "rank.pairing": "unpaired"}
PARTS = (
    Part("push-pull", {"push_pull.where": "none"}, control="placebo"),
    Part("exemplars", {"rank.pairing": "paired"}, control="random exemplars"),
    Part("selection", {"finetune.which": "all"}),
    Part("tuning", {"finetune.which": "none"}),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def prepared(home, *ablations, n_seeds: int = 2, **options) -> Prepared:
    space = Space(name="s", base=TINY, ablations=ablations, n_seeds=n_seeds)
    return prepare(SweepOptions(home=home, study="s", **options), space)


def dry_run(of: Prepared) -> str:
    out = StringIO()
    print_dry_run(Console(file=out, width=200), of)
    return out.getvalue()


def test_all_controls_by_name_are_arms_of_their_own(home):
    found = prepared(home, LeaveOneOut("method", PARTS, METHOD))
    assert found.planned.n_total == 2 * len(found.space.arms) == 14
    assert {arm.name for arm in found.space.arms} > {"placebo for push-pull", "random exemplars for exemplars"}
    assert not any(trial.prunable for trial in found.planned.arms())


def test_the_dry_run_shows_arms_what_is_shared_and_what_so_many_seeds_can_show(home):
    text = dry_run(prepared(home, LeaveOneOut("method", PARTS, METHOD), n_seeds=6))
    assert "arm without push-pull: push_pull.where=none, finetune.which=most" in text
    (line,) = [line for line in text.splitlines() if line.startswith("  arm without selection")]
    assert line.endswith("shares pretrain with full")
    (line,) = [line for line in text.splitlines() if line.startswith("  arm without push-pull")]
    assert line.endswith("shares nothing with full")
    assert (
        "  ablation method: leave-one-out, push-pull (control: placebo), exemplars (control: random exemplars), "
        "selection (no control; random filters would be one), tuning (no control)\n"
    ) in text
    assert "  declared, by all: push-pull − without it; push-pull − placebo; exemplars − without it; " in text
    effect = f"{smallest_effect(6, 6):.1f}"
    assert f"with 6 seeds an effect is found 4 times in 5 if it is at least {effect} times as large as" in text
    assert "sign flips alone could show nothing of 6 comparisons, since their p is at least 2/2^6 = 0.031" in text


def test_the_dry_run_says_that_too_few_seeds_can_show_nothing(home):
    text = dry_run(prepared(home, LeaveOneOut("method", PARTS, METHOD), n_seeds=5))
    assert "with 5 seeds nothing can be shown: the sign-flip test's p is at least 2/2^5 = 0.062; 6 seeds can" in text


def test_too_few_trials_for_what_is_declared_are_said(home):
    notes = opening_notes(prepared(home, LeaveOneOut("method", PARTS, METHOD), n_trials=3))
    assert any(
        "3 trials are too few for all 2 seeds of the arms, which need 14: what is declared is not" in n for n in notes
    )


@pytest.mark.parametrize(
    ("ablation", "match"),
    [
        (
            LeaveOneOut("m", (Part("distance", {"rank.distance": "l2"}),), {"finetune.which": "all"}),
            "part 'distance' of ablation 'm' changes nothing: without it .`rank.distance`=l2. the stages' keys are",
        ),
        (
            LeaveOneOut("m", (Part("push-pull", {"push_pull.where": "none"}, control={"push_pull.h": 2.6}),), METHOD),
            "'control' is no control: with it .`push_pull.h`=2.6. the stages' keys are those of the full method",
        ),
        (
            OneAtATime("m", {"metric": {"rank.metric": "hamming"}}, {"finetune.which": "most"}),
            "arms 'reference' and 'metric' have the same stages' keys",
        ),
        (
            Factorial(
                "m",
                (
                    Factor("tuning", {"finetune.which": "most"}, {"finetune.which": "none"}),
                    Factor("distance", {"rank.distance": "l2"}, {"rank.distance": "emd_1d"}),
                ),
            ),
            "arms 'distance' and 'nothing' have the same stages' keys, so that what tells them apart changes nothing",
        ),
        (
            LeaveOneOut("m", PARTS, METHOD, outcomes=("weather",)),
            "comparison 'push-pull − without it': unknown tested outcome 'weather'",
        ),
    ],
)
def test_what_changes_no_key_is_refused_by_name(ablation, match, home):
    with pytest.raises(InputError, match=match):
        prepared(home, ablation)
