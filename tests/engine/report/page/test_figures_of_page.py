"""The pieces of a page's figures: scales, lanes, rails, stages by who shares them."""

import math
import re
from dataclasses import replace

import pytest

from engine.report.page.drawing import Drawing, number
from engine.report.page.scaling import Scale, percent, round_values, spread
from engine.report.page.search_figures import (
    history,
    lanes_of,
    parallel_coordinates,
    pruning,
    rails,
    thinned,
    timeline,
)
from engine.report.page.severity_figures import shown_groups
from engine.report.page.shared_stages import sharing_sentence, stage_costs, stage_names, stage_tree
from engine.report.page.stored_values import StoredValues
from engine.report.results import Results
from engine.report.text_tables import Table
from engine.spaces import Arm, Choice, Float, Int, Space
from tests.engine.orchestration.spaces import TINY
from tests.engine.report.studies import complete, study


def test_round_values_are_round_and_within():
    assert round_values(0.0, 1.0) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert round_values(-0.31, 0.22) == pytest.approx([-0.2, 0.0, 0.2])
    for low, high in ((0.0, 1e-9), (0.013, 0.0131), (-5.0, 700.0)):
        found = round_values(low, high)
        assert 2 <= len(found) <= 6
        assert all(low - 1e-9 * abs(low) <= tick <= high + 1e-9 * abs(high) for tick in found)


def test_a_scale_of_one_value_has_a_width():
    low, high = spread([0.1])
    assert low < 0.1 < high
    assert Scale(low, high, 0, 100)(0.1) == pytest.approx(50)
    assert spread([0.1], zero=True)[0] < 0 < spread([-0.1], zero=True)[1]


def test_numbers_are_short():
    assert [number(value) for value in (1.0, 1.04, 0.25, -3.0)] == ["1", "1", "0.2", "-3"]
    assert [percent(value) for value in (-0.0, 0.0, 0.125, -0.2)] == ["0", "0", "12.5", "−20"]


def test_lines_of_many_points_keep_their_ends():
    steps = {step: float(step) for step in range(1, 500)}
    found = thinned(steps)
    assert len(found) <= 40
    assert (found[0], found[-1]) == ((1, 1.0), (499, 499.0))
    assert thinned({3: 1.0, 1: 2.0}) == [(1, 2.0), (3, 1.0)]


def test_no_trials_of_a_lane_overlap():
    spans = [(0.0, 4.0), (1.0, 2.0), (2.0, 6.0), (3.0, 5.0), (4.0, 5.0)]
    assert lanes_of(spans) == [0, 1, 1, 2, 0]


def test_a_rail_has_the_values_of_all_axes_of_its_setting():
    layered = (
        Choice("distortion.level", (25.0, 50.0), when={"distortion.name": ("awgn",)}, label="a"),
        Choice("distortion.level", (1.0, 2.0), when={"distortion.name": ("blur",)}, label="b"),
        Float("finetune.training.learning_rate", 1e-4, 1e-2, log=True),
        Int("distortion.n_images", 10, 30),
    )
    level, rate, images = rails(layered)
    assert level.values == ("1", "2", "25", "50")
    assert [level.place(value) for value in (1.0, 50.0, 7.0)] == [0.125, 0.875, None]
    assert rate.place(1e-3) == pytest.approx(0.5)
    assert images.place(20) == pytest.approx(0.5)
    assert rate.place("x") is None


def trials_of(*stages: dict[str, str]):
    return [replace(complete(place, "plain", place, 0.1), stages=of) for place, of in enumerate(stages)]


SHARED = trials_of(
    {"pretrain": "p", "evaluate": "e0"},
    {"pretrain": "p", "finetune": "f1", "evaluate": "e1"},
    {"pretrain": "p", "finetune": "f1", "evaluate": "e1"},
    {"pretrain": "q", "evaluate": "e2"},
)


def test_what_sharing_saved_is_counted():
    assert stage_names(SHARED) == ["pretrain", "finetune", "evaluate"]
    pretrain, finetune, evaluate = stage_costs(SHARED, {"p": 10.0, "q": 5.0, "f1": 3.0})
    assert (pretrain.wanted, pretrain.distinct, pretrain.seconds, pretrain.saved) == (4, 2, 15.0, 20.0)
    assert (finetune.wanted, finetune.distinct, finetune.saved) == (2, 1, 3.0)
    assert (evaluate.wanted, evaluate.distinct, evaluate.n_timed) == (4, 3, 0)
    sentence = sharing_sentence([pretrain, finetune, evaluate])
    words = "trials asked for 10 stages; 6 of them differ: 18 s of computing instead of 41 s (56% saved)"
    assert sentence == f"{words}, by the times that are known"


def test_the_stage_tree_has_a_block_for_what_is_shared():
    picture = stage_tree(SHARED, StoredValues(seconds={"p": 10.0}))
    hints = re.findall(r"<title>(.*?)</title>", picture.panels[0])
    assert "pretrain p: 3 trials, 10.0 s" in hints
    assert "finetune f1: 2 trials" in hints
    assert sum(hint.startswith("evaluate") for hint in hints) == 3
    assert ("pretrain", "p", "3", "10.00") in picture.data.rows


def test_of_many_trials_stages_of_one_alone_are_one_block():
    many = trials_of(*({"pretrain": "p", "evaluate": f"e{at:04d}"} for at in range(2000)))
    picture = stage_tree(many, StoredValues())
    hints = re.findall(r"<title>(.*?)</title>", picture.panels[0])
    assert hints == ["pretrain p: 2000 trials", "2000 different evaluate stages of one trial each"]


def test_of_many_groups_the_controls_are_drawn():
    names = [f"arm {at}" for at in range(12)]
    arms = tuple(Arm(name, {"pretrain.epochs": at + 1}, control=at == 11) for at, name in enumerate(names))
    results = study(Space(name="s", base=TINY, arms=arms), {name: [0.1, 0.2] for name in names})
    shown = [group.name for group in shown_groups(results.groups(), ["arm 11"])]
    assert shown == [*names[:7], "arm 11"]


def test_dots_of_one_look_are_one_shape():
    drawing = Drawing(10, 10, "dots")
    drawing.dots([(1, 2), (3, 4)], "c0")
    drawing.dots([], "c1")
    assert drawing.svg().count("<path") == 1
    assert 'd="M1 2h0M3 4h0"' in drawing.svg()
    assert not math.isnan(drawing.width)


def test_a_bold_title_is_shortened_before_it_leaves_its_panel():
    drawing = Drawing(345.0, 20.0, "a panel")
    drawing.text(2, 13, "method: placebo for push-pull, trial 4: layer1.0.conv1", "head", most=345.0)
    assert "…<title>method: placebo for push-pull, trial 4: layer1.0.conv1</title>" in drawing.svg()
    drawing.text(2, 13, "method: full, trial 2: layer1.0.conv1", "head", most=345.0)
    assert ">method: full, trial 2: layer1.0.conv1</text>" in drawing.svg()


@pytest.mark.parametrize(
    ("states", "in_legend", "in_caption"),
    [
        ((), [], []),
        (("PRUNED",), ["pruned"], ["pruned ones", "grey", "a cross is"]),
        (("FAIL",), ["failed"], ["failed ones"]),
        (("PRUNED", "FAIL"), ["pruned", "failed"], ["pruned ones", "failed ones", "grey", "a cross is"]),
    ],
)
def test_figures_of_the_search_explain_what_they_have_alone(states, in_legend, in_caption):
    known = {"steps": {1: 0.5}, "started_at": 1.0, "ended_at": 2.0}
    trials = [replace(complete(0, "plain", 0, 0.1), **known)]
    trials += [
        replace(trials[0], number=at, slot=f"proposal/{at}", group="", state=state, objective=None)
        for at, state in enumerate(states, start=1)
    ]
    arms = Arm("plain", {"pretrain.epochs": 1}, control=True)
    results = Results("s", Space(name="s", base=TINY, arms=(arms,)), tuple(trials))
    pictures = [history(results), pruning(results), timeline(trials), parallel_coordinates(results, Table("", (), []))]
    legend = [words for _, words in (*pictures[0].legend, *pictures[2].legend)]
    assert legend == 2 * ["arms and winner", *in_legend]
    assert [words for _, words in pictures[1].legend] == ["pruned here"] * ("PRUNED" in states)
    captions = " ".join(picture.caption for picture in pictures)
    known = ("pruned ones", "failed ones", "grey", "a cross is")
    assert [words for words in known if words in captions] == in_caption
