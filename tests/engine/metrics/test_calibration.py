"""Calibration against stored cases, a loop over images, and what may not be a number."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.metrics import mean_calibration, measured
from engine.metrics.calibration import N_BINS

_BESIDE = Path(__file__).resolve().parents[3].parent / "shared" / "reference"
CASES = Path(os.environ.get("ROBUSTUNE_REFERENCE", _BESIDE)) / "successors"


def by_hand(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Return ECE, NLL and Brier score of float64 logits, image by image."""
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    bins: dict[int, list[tuple[float, bool]]] = {}
    nll = brier = 0.0
    for row, label in zip(shares, labels, strict=True):
        inside = [k for k in range(N_BINS) if k / N_BINS < row.max() <= (k + 1) / N_BINS]
        bins.setdefault(inside[0], []).append((row.max(), row.argmax() == label))
        nll -= np.log(row[label])
        brier += sum((share - (number == label)) ** 2 for number, share in enumerate(row))
    gaps = [abs(sum(sure for sure, _ in found) - sum(right for _, right in found)) for found in bins.values()]
    return sum(gaps) / len(labels), nll / len(labels), brier / len(labels)


def test_measures_equal_a_loop_over_images(monkeypatch):
    monkeypatch.setattr("engine.metrics.calibration._ELEMENTS_AT_A_TIME", 7 * 5)  # in parts
    draws = torch.Generator().manual_seed(0)
    logits, labels = 3 * torch.randn(50, 5, generator=draws), torch.randint(0, 5, (50,), generator=draws)
    logits[:9] = 0  # a confidence of 0.2 lies on a bin's upper edge, and belongs to it
    found = measured(logits, labels)
    expected = by_hand(logits.double().numpy(), labels.numpy())
    assert (found.calibration.ece, found.calibration.nll, found.calibration.brier) == pytest.approx(expected, abs=1e-12)
    assert found.error == pytest.approx(float((logits.argmax(1) != labels).sum()) / 50)


def test_measures_equal_the_stored_cases():
    if not (CASES / "calibration_cases.json").exists():
        pytest.skip(f"no calibration_cases.json in {CASES} (set ROBUSTUNE_REFERENCE)")
    arrays = np.load(CASES / "calibration_cases.npz")
    cases = json.loads((CASES / "calibration_cases.json").read_text())["cases"]
    assert len(cases) >= 5
    for case in cases:
        logits, labels = (torch.from_numpy(arrays[f"{case['name']}/{part}"]) for part in ("logits", "labels"))
        found = measured(logits, labels.long())
        expected = {"ece": case["ece_15"], "nll": case["nll"], "brier": case["brier"]}
        assert found.calibration.to_json() == pytest.approx(expected, abs=1e-9), case["name"]
        assert found.error == pytest.approx(1 - case["accuracy"], abs=1e-6), case["name"]


def test_what_is_no_number_is_said_to_be_none():
    found = measured(torch.tensor([[1.0, float("nan")], [0.0, 1.0]]), torch.tensor([0, 1]))
    assert found.calibration.to_json() == {"ece": None, "nll": None, "brier": None}
    found = measured(torch.tensor([[0.0, float("-inf")]]), torch.tensor([1]))
    assert (found.error, found.calibration.nll, found.calibration.brier) == (1.0, None, 2.0)


def test_the_mean_is_over_corruptions_and_leaves_out_what_a_row_lacks():
    rows = [
        {"corruption": name, "severity": severity, "error": 0.5, "ece": ece, "nll": nll}
        for (name, severity), (ece, nll) in {("fog", 1): (0.25, 1.0), ("snow", 1): (0.75, None)}.items()
    ]
    assert mean_calibration(rows) == {"ece": 0.5}
    assert mean_calibration([]) == {}
