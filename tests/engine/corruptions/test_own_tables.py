"""A severity table that a module registers: chosen by its name, its constants in the keys."""

import re

import pytest
import torch

from engine import corrupt, register_severity_table
from engine.corruptions import table_corruptions
from engine.corruptions.constant_limits import LIMITS, check_limits
from engine.corruptions.imagenet_c_tables import IMAGENET_C
from engine.corruptions.tables import SEVERITY_TABLES
from engine.errors import InputError
from engine.settings import TrialConfig
from engine.stages import plan_trial
from tests.engine.made_up import DIGITS
from tests.registered import taken_back

NOISE = {"gaussian_noise": (0.01, 0.02, 0.03, 0.04, 0.05), "contrast": (0.9, 0.8, 0.7, 0.6, 0.5)}


def one_odd(corruption, constant):
    """Return a table in which severity 2 of a corruption has an odd constant."""
    return {corruption: (0.9, constant, 0.7, 0.6, 0.5)}


@pytest.fixture(autouse=True)
def _as_before():
    with taken_back():
        yield


def plan(**settings):
    return plan_trial(TrialConfig().with_settings({"evaluate.table": "mine", **settings}), DIGITS)


def test_its_constants_are_what_a_corruption_gets():
    register_severity_table("mine", NOISE)
    images = torch.full((2, 1, 8, 8), 100, dtype=torch.uint8)
    assert set(NOISE) <= set(table_corruptions("mine"))
    mild, strong = (corrupt(images, "gaussian_noise", level, seed=0, table="mine").float().std() for level in (1, 5))
    assert float(mild) == pytest.approx(2.55, rel=0.2)
    assert float(strong) == pytest.approx(12.75, rel=0.2)


def test_glass_reaches_and_zooms_step_as_far_as_it_says():
    own = {"glass_blur": ((0.7, 2), *IMAGENET_C["glass_blur"][1:]), "zoom_blur": (12, *IMAGENET_C["zoom_blur"][1:])}
    register_severity_table("mine", own)
    images = torch.randint(0, 256, (2, 1, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for name in own:
        for severity in range(1, 6):  # the first says less, and means the same
            found, expected = (corrupt(images, name, severity, seed=0, table=of) for of in ("mine", "imagenet-c"))
            assert torch.equal(found, expected), (name, severity)
    settings = plan(**{"evaluate.objective": ["glass_blur"]}).judged.settings
    assert settings["corruptions"] == ["glass_blur", "zoom_blur"]


def test_it_says_what_trials_are_compared_by_and_tested_on():
    register_severity_table("mine", NOISE, objective=("contrast",))
    settings = plan().judged.settings
    assert (settings["table"], settings["objective"]) == ("mine", ["contrast"])
    assert settings["corruptions"] == ["gaussian_noise", "contrast"]


def test_other_constants_are_another_evaluation_and_the_same_training():
    with taken_back():
        register_severity_table("mine", NOISE)
        before = plan()
    register_severity_table("mine", {**NOISE, "contrast": (0.9, 0.8, 0.7, 0.6, 0.4)})
    after = plan()
    assert before.key("pretrain") == after.key("pretrain")
    assert before.key("evaluate") != after.key("evaluate")
    assert before.stages[0].watch_digest != after.stages[0].watch_digest


def test_the_same_table_again_is_a_module_that_is_loaded_again():
    register_severity_table("mine", NOISE)
    register_severity_table("mine", NOISE)


@pytest.mark.parametrize(
    ("name", "constants", "choices", "sentence"),
    [
        ("digits", NOISE, {}, "a severity table called 'digits' is there already"),
        ("auto", NOISE, {}, "a severity table called 'auto' is there already"),
        ("mine", {"gausian_noise": NOISE["contrast"]}, {}, r"'gausian_noise' \(did you mean 'gaussian_noise'\?\)"),
        ("mine", {"contrast": (1, 2)}, {}, "needs 5 constants of 'contrast', got 2"),
        (
            "mine",
            {"contrast": (object(),) * 5},
            {},
            "table 'mine': the constant of 'contrast' at severity 1 must be a fin",
        ),
        ("mine", {}, {}, "severity table 'mine' needs constants of at least one corruption"),
        ("mine", ["contrast"], {}, "severity table 'mine' needs constants of at least one corruption"),
        ("mine", {"contrast": 0.1}, {}, "'mine' needs 5 constants of 'contrast', one a severity, got 0.1"),
        ("mine", {"contrast": "abcde"}, {}, "'mine' needs 5 constants of 'contrast', one a severity, got 'abcde'"),
        ("mine", one_odd("contrast", float("nan")), {}, "'contrast' at severity 2 must be a finite number, got nan"),
        ("mine", one_odd("contrast", float("inf")), {}, "'contrast' at severity 2 must be a finite number, got inf"),
        ("mine", one_odd("contrast", 10**400), {}, "'contrast' at severity 2 must be a finite number, got 1000"),
        ("mine", one_odd("contrast", "a"), {}, "'contrast' at severity 2 must be a finite number, got 'a'"),
        ("mine", one_odd("contrast", True), {}, "'contrast' at severity 2 must be a finite number, got True"),
        ("mine", one_odd("contrast", (1, 2)), {}, r"'contrast' at severity 2 must be a finite number, got \(1, 2\)"),
        (
            "mine",
            {"glass_blur": (1, 2, 3, 4, 5)},
            {},
            "'glass_blur' at severity 1 must be a tuple of 2 finite numbers or a tuple of 3 finite numbers, got 1",
        ),
        (
            "mine",
            {"zoom_blur": (7, (7, 0.02), (7, 0.02, 1), 7, 7)},
            {},
            r"'zoom_blur' at severity 3 must be a finite number or a tuple of 2 finite numbers, got \(7, 0.02, 1\)",
        ),
        ("mine", {"fog": ((1, 2, 3),) * 5}, {}, "'fog' at severity 1 must be a tuple of 2 finite numbers"),
        ("mine", {"fog": ((1, float("nan")),) * 5}, {}, "'fog' at severity 1 must be a tuple of 2 finite numbers"),
        ("mine", {"spatter": ((1, 1, 1, 1, 1, "blood"),) * 5}, {}, "'spatter' at severity 1 .* 'water' or 'mud'"),
        (
            "mine",
            NOISE,
            {"objective": "contrast"},
            "`objective` of severity table 'mine' must be a tuple .*got 'contrast'",
        ),
        ("mine", NOISE, {"objective": ()}, r"`objective` of severity table 'mine' must be a tuple .*got \(\)"),
        ("mine", NOISE, {"reported": "contrast"}, "`reported` of severity table 'mine' must be a tuple"),
        ("mine", NOISE, {"objective": (1,)}, "`objective` of severity table 'mine' must be a tuple"),
        (5, NOISE, {}, "a severity table's name is a word, got 5"),
        ("mine", NOISE, {"objective": ("fog",)}, "severity table 'mine': unknown corruption 'fog'"),
        ("mine", NOISE, {"reported": ("fog",)}, "severity table 'mine': unknown corruption 'fog'"),
    ],
)
def test_what_cannot_be_is_one_sentence(name, constants, choices, sentence):
    with pytest.raises(InputError, match=sentence):
        register_severity_table(name, constants, **choices)


def test_a_table_that_nobody_registered_is_named():
    with pytest.raises(InputError, match="unknown severity table 'mine'"):
        plan()


@pytest.mark.parametrize(
    ("name", "constant", "allowed"),
    [
        ("shot_noise", -5, "photons at full scale must be > 0"),
        ("shot_noise", 0, "photons at full scale must be > 0"),
        ("zoom_blur", 3.5, "number of zooms must be a whole number ≥ 1"),
        ("zoom_blur", (2, 0), "step from one zoom to the next must be > 0"),
        ("glass_blur", (1, 0.5), "number of passes must be a whole number ≥ 0"),
        ("glass_blur", (1, 1, 0.5), "reach of a step in pixels must be a whole number ≥ 1"),
        ("defocus_blur", (1, 0), "blur's sigma must be > 0"),
        ("motion_blur", (3, 0), "sigma must be > 0"),
        ("gaussian_blur", -1, "sigma must be ≥ 0"),
        ("snow", (0.1, 0.2, 0.5, 0.6, 8, 3, 0.95), "zoom must be ≥ 1"),
        ("fog", (1, 0), "decay of the roughness must be > 0"),
        ("jpeg_compression", 0, "quality must be from 1 to 100"),
        ("spatter", (0.6, 0.1, -1, 0.7, 0.5, "mud"), "sigma must be ≥ 0"),
        ("impulse_noise", 1.5, "share of replaced bytes must be from 0 to 1"),
        ("lines", 10**6, "magnitude must be from 0 to 10"),
    ],
)
def test_a_constant_that_has_no_meaning_is_named_when_a_trial_is_planned(name, constant, allowed):
    form = SEVERITY_TABLES["cifar-c"][name]
    register_severity_table("mine", {**NOISE, name: (*form[:2], constant, *form[3:])}, objective=("contrast",))
    said = f"severity table 'mine': the constant of {name!r} at severity 3 is {constant!r}, but its {allowed}"
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        plan()


@pytest.mark.parametrize("table", SEVERITY_TABLES)
def test_all_constants_of_the_engine_s_tables_have_a_meaning(table):
    for name, constants in SEVERITY_TABLES[table].items():
        for severity, constant in enumerate(constants, start=1):
            check_limits(table, name, severity, constant)
            numbers = constant[: 5 if name == "spatter" else None] if isinstance(constant, tuple) else (constant,)
            assert len(LIMITS.get(name, numbers)) >= len(numbers)


def test_what_is_said_by_what_a_corruption_is_computed_with_is_not_shown():
    register_severity_table("mine", {**NOISE, "shot_noise": (100, 1e6, 50, 20, 10)}, objective=("contrast",))
    with pytest.raises(
        InputError, match=r"at severity 2 is 1000000\.0, by which it cannot be computed; it takes: photons .* > 0$"
    ):
        plan()


def test_a_constant_of_a_severity_that_is_not_asked_for_does_no_harm():
    register_severity_table("mine", {**NOISE, "shot_noise": (100, 50, 20, 10, 0)})
    assert plan(**{"evaluate.severities": (1, 2)}).judged.settings["severities"] == [1, 2]


def test_a_corruption_that_grey_images_cannot_have_is_left_out_as_ever():
    register_severity_table("mine", {**NOISE, "saturate": ((2, 0),) * 5})
    assert "saturate" not in plan().judged.settings["corruptions"]
