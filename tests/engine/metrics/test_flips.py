"""Flip probability and distances against stored cases and a loop over frames; flip rates by hand."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import InputError
from engine.metrics import Baseline, flip_scores, steadiness
from engine.metrics.flip_rates import checked_rows

_BESIDE = Path(__file__).resolve().parents[3].parent / "shared" / "reference"
CASES = Path(os.environ.get("ROBUSTUNE_REFERENCE", _BESIDE)) / "successors"
MEASURES = ("flip_probability", "top5_distance", "zipf_distance")


def test_measures_equal_the_stored_cases():
    if not CASES.is_dir():
        pytest.skip("the reference files are not here")
    arrays = np.load(CASES / "perturbation_metric_cases.npz")
    for case in json.loads((CASES / "perturbation_metric_cases.json").read_text())["cases"]:
        found = steadiness(
            torch.from_numpy(arrays[case["name"]]),
            from_first=case["compared_with"] == "first frame",
            difficulty=case["difficulty"],
        )
        assert asdict(found) == pytest.approx({name: case[name] for name in MEASURES}, abs=1e-12), case["name"]


def by_hand(logits, from_first, difficulty):
    """Return the three measures of logits (sequences, frames, classes), pair by pair, class by class."""
    found = []
    for sequence in logits.tolist():
        order = [sorted(range(len(frame)), key=lambda c, frame=frame: (-frame[c], c)) for frame in sequence]
        pairs = [(0 if from_first else t - difficulty, t) for t in range(1 if from_first else difficulty, len(order))]
        rows = []
        for before, after in pairs:
            rank = {c: place for place, c in enumerate(order[after], start=1)}
            moved = [(i, rank[c]) for i, c in enumerate(order[before], start=1)]
            top = sum(abs((i - 1) - min(new - 1, 5)) for i, new in moved[:5])
            rows.append((moved[0][1] != 1, top, sum(abs(1 / i - 1 / new) / i for i, new in moved)))
        found.append(np.mean(rows, axis=0))
    return dict(zip(MEASURES, np.mean(found, axis=0), strict=True))


@pytest.mark.parametrize(("n_classes", "from_first", "difficulty"), [(7, False, 1), (7, True, 3), (3, False, 2)])
def test_measures_equal_a_loop_over_frames(n_classes, from_first, difficulty):
    draws = torch.Generator().manual_seed(1)
    logits = torch.randint(0, 4, (5, 6, n_classes), generator=draws).float()  # many are equal
    found = steadiness(logits, from_first=from_first, difficulty=difficulty)
    assert asdict(found) == pytest.approx(by_hand(logits, from_first, difficulty), abs=1e-12)
    with pytest.raises(InputError, match=r"with more than 6 frames, got \(5, 6, "):
        steadiness(logits, difficulty=6)


@pytest.mark.parametrize("n_classes", [3, 7])
@pytest.mark.parametrize("from_first", [False, True])
def test_an_answer_that_is_no_number_is_a_flip_and_has_no_class_in_any_place(n_classes, from_first):
    logits = torch.arange(n_classes).repeat(1, 5, 1).float()  # the same answer all along
    assert asdict(steadiness(logits, from_first=from_first)) == dict.fromkeys(MEASURES, 0)
    top, zipf = sum((5, 4, 3, 2, 1)[:n_classes]), sum(1 / place**2 for place in range(1, n_classes + 1))
    logits[0, 3, 1] = float("nan")
    share = 1 / 4 if from_first else 2 / 4  # from one frame to the next it is met twice
    assert list(asdict(steadiness(logits, from_first=from_first)).values()) == pytest.approx(
        [share, top * share, zipf * share]
    )
    logits[:] = float("nan")
    assert list(asdict(steadiness(logits, from_first=from_first)).values()) == pytest.approx([1, top, zipf])


def row(name, flips, places, difficulty=1):
    return {
        "sequence": name,
        "frames": 31,
        "difficulty": difficulty,
        "flip_probability": flips,
        "top5_distance": places,
        "zipf_distance": 0.1,
    }


def against(*rows):
    return Baseline("baseline x", {"fog": 0.5}, 0.1, sequences=rows)


def test_flip_rates_by_hand():
    own = [row("rotate", 0.02, 1.0), row("tilt", 0.06, 3.0)]
    scores = flip_scores(own, against(row("tilt", 0.04, 2.0), row("rotate", 0.04, 4.0), row("scale", 0.5, 5.0)))
    assert pytest.approx((0.04, 2.0)) == (scores.FP, scores.T5D)
    assert pytest.approx({"rotate": 0.5, "tilt": 1.5}) == scores.FR
    assert (scores.mFR, scores.mT5D) == pytest.approx((1.0, (0.25 + 1.5) / 2))
    for baseline, reason in (
        (against(), "baseline x has no flip probabilities"),
        (against(row("tilt", 0.1, 1.0)), "baseline x has no flip probability for rotate"),
        (against(row("rotate", 0.1, 1.0, difficulty=2)), "baseline x has a difficulty of 2 for rotate, not 1"),
        (against(row("rotate", 0.0, 1.0)), "baseline x never changes its answers along rotate"),
    ):
        found = flip_scores(own, baseline)
        assert (found.FP, found.mFR, found.FR) == (pytest.approx(0.04), None, None)
        assert found.reason.startswith(reason)


def test_rows_that_cannot_be_are_refused():
    assert checked_rows([row("rotate", 0.02, 1.0)], "it") == (row("rotate", 0.02, 1.0),)
    with pytest.raises(InputError, match=r"it: a flip probability is in 0…1 and a distance ≥ 0, got"):
        checked_rows([row("rotate", 1.5, 1.0)], "it")
    for wrong in ("rotate", [{"sequence": "rotate"}], 3):
        with pytest.raises(InputError, match="it: a row of a sequence must have sequence, frames, difficulty, flip"):
            checked_rows(wrong, "it")
