"""Every setting explains itself; ``python -m tests.engine.test_explanation`` writes the page of the docs."""

import math
import re
import typing
from pathlib import Path

import pytest

from engine.conversion import leaves
from engine.documentation import RANGE, attribute_texts, without_range
from engine.errors import InputError
from engine.explanation import explain, explain_settings, settings_page
from engine.settings import TrialConfig

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
LEAVES = leaves(TrialConfig)
TUNED = TrialConfig().with_settings({"finetune.which": "most"})


def kind_of(path: str) -> type:
    """Return the declared type of a setting, without its None."""
    hint = LEAVES[path].hint
    return next((option for option in typing.get_args(hint) if option in (int, float)), hint)


NUMBERS = [
    path for path in LEAVES if kind_of(path) in (int, float) and typing.get_origin(LEAVES[path].hint) is not tuple
]


@pytest.mark.parametrize("path", LEAVES)
def test_every_setting_has_a_line_in_its_class_s_docstring(path):
    leaf = LEAVES[path]
    text = attribute_texts(leaf.owner).get(leaf.name, "")
    assert len(text.split()) >= 3, f"say what {path} is under `Attributes:` of {leaf.owner.__name__}"
    assert text.endswith((".", ")")), "a sentence, or several"


@pytest.mark.parametrize("path", [path for path in LEAVES if type(None) in typing.get_args(LEAVES[path].hint)])
def test_what_none_means_is_said_unless_another_setting_takes_its_place(path):
    alone = path not in ("finetune.fraction", "finetune.count", "finetune.threshold")
    assert not alone or "None" in explain_settings()[path].text


def outside(bounds: str) -> tuple[list[float], list[float]]:
    """Return values that a range as docstrings write it holds, and values that it does not."""
    number = r"-?[\d.]+(?:\*\*\d+)?"
    if bounds.startswith("one of"):
        known = [int(value) for value in re.findall(r"\d+", bounds)]
        return known, [min(known) - 1, max(known) + 1]
    if bounds.startswith("≥"):
        least = float(bounds[2:])
        return [least], [least - 1, math.nan]
    if bounds.startswith(">"):
        least = float(bounds[2:])
        return [least + 1e-6], [least, least - 1, math.nan]
    low, high = (eval(value) for value in re.findall(number, bounds))
    inside, out = [(low + min(high, 1)) / 2], [low - 1, high + 1]
    (inside if "[" in bounds else out).append(low)
    (inside if bounds.endswith("]") else out).append(high)
    return inside, out


@pytest.mark.parametrize("path", NUMBERS)
def test_the_range_that_a_docstring_gives_is_the_range_that_is_checked(path):
    found = RANGE.search(attribute_texts(LEAVES[path].owner)[LEAVES[path].name])
    assert found, f"say in which range {path} lies, as ≥ 1 or in (0, 1]"
    inside, out = outside(found[0])
    if kind_of(path) is int:
        inside, out = [int(value) for value in inside if value == int(value)], [v for v in out if not math.isnan(v)]
    for value in inside:
        TUNED.with_settings({path: value})
    for value in out:
        with pytest.raises(InputError, match=re.escape(f"`{path}` must be")):
            TUNED.with_settings({path: value})


@pytest.mark.parametrize("path", [path for path in LEAVES if kind_of(path) not in (int, float)])
def test_of_what_is_no_number_every_word_is_said(path):
    """Words in brackets, as in 'in ("layer1")', are no range."""
    leaf = LEAVES[path]
    numbers = typing.get_origin(leaf.hint) is tuple and typing.get_args(leaf.hint)[0] is not str
    text = attribute_texts(leaf.owner)[leaf.name]
    assert numbers or without_range(text) == text


def test_allowed_values_are_those_of_the_declared_type():
    allowed = {path: about.allowed for path, about in explain_settings().items()}
    assert allowed["pretrain.optimizer"] == "adam, sgd"
    assert allowed["push_pull.learn_alpha"] == "layer, kernel, or none"
    assert allowed["finetune.fraction"] == "number in (0, 1], or none"
    assert allowed["data.channels"] == "1, 3, or none"
    assert allowed["evaluate.severities"] == "whole numbers in [1, 5]"
    assert allowed["finetune.across_layers"] == "true, false"
    assert allowed["model.name"] == "word"


def test_defaults_are_as_one_types_them():
    for path, about in explain_settings().items():
        from engine.extensions import parse_settings

        typed = parse_settings([f"{path}={about.default}"])
        assert TrialConfig().flat()[path] == TrialConfig.convert(path, typed[path])


def test_a_setting_or_a_section_can_be_asked_for():
    assert [about.setting for about in explain(["rank.top"])] == ["rank.top"]
    assert {about.setting.partition(".")[0] for about in explain(["rank"])} == {"rank"}
    assert len(explain(["finetune"])) > len(explain(["finetune.training"])) > 5
    with pytest.raises(InputError, match=r"unknown setting 'ranks' \(did you mean 'rank'\?\)"):
        explain(["ranks"])


def test_an_error_says_what_the_setting_is():
    with pytest.raises(
        InputError, match=r"`rank.top` must be in \[1, 2\*\*31\), got 0 \(places that get points in an image's vote"
    ):
        TrialConfig().with_settings({"rank.top": 0})
    with pytest.raises(InputError, match=r"must be one of paired, unpaired, got 'pairs' \(what is compared: "):
        TrialConfig().with_settings({"rank.pairing": "pairs"})


def test_the_page_of_the_settings_is_up_to_date():
    assert PAGE.read_text() == settings_page(), "run `python -m tests.engine.test_explanation`"


if __name__ == "__main__":
    PAGE.write_text(settings_page())
    print(f"wrote {PAGE}")
