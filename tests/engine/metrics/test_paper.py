"""The scores of Table 3 of the push–pull paper follow from the errors of its Table 2 and Appendix 2 (in %)."""

import pytest

from engine.corruptions import CORRUPTIONS
from engine.metrics import corruption_scores

MODELS = ("AlexNet", "ResNet-20", "ResNet-32-PP", "DenseNet-100-24-PP")
ERRORS = {  # mean over the severities, by model
    "gaussian_noise": (38.44, 57.41, 47.81, 42.83),
    "shot_noise": (31.82, 45.75, 37.12, 32.33),
    "impulse_noise": (46.13, 41.88, 35.55, 34.24),
    "speckle_noise": (31.26, 41.34, 33.96, 29.32),
    "defocus_blur": (23.53, 21.43, 19.86, 15.01),
    "glass_blur": (40.97, 58.82, 50.8, 38.8),
    "motion_blur": (29.32, 30.62, 27.92, 18.68),
    "zoom_blur": (26.89, 27.54, 26.92, 18.98),
    "gaussian_blur": (27.78, 31.32, 30.12, 25.25),
    "snow": (26.94, 25.06, 22.6, 15.67),
    "frost": (28.26, 31.39, 26.37, 18.72),
    "fog": (30.31, 16.56, 15.45, 11.38),
    "spatter": (25.19, 19.03, 15.58, 13.56),
    "brightness": (17.84, 9.73, 8.98, 5.97),
    "contrast": (46.77, 29.59, 28.08, 18.74),
    "elastic_transform": (22.25, 20.37, 18.1, 14.77),
    "pixelate": (18.36, 32.33, 28.87, 26.27),
    "jpeg_compression": (18.48, 23.81, 20.73, 17.85),
    "saturate": (22.15, 11.52, 11.24, 7.61),
}
CLEAN = {"AlexNet": 13.87, "ResNet-20": 7.56, "ResNet-32-PP": 7.15, "DenseNet-100-24-PP": 4.5}


def scores_of(model: str):
    """Return a model's scores, its printed means standing for all five severities."""
    place = MODELS.index(model)
    table = {(name, severity): row[place] / 100 for name, row in ERRORS.items() for severity in (1, 2, 3, 4, 5)}
    baseline = {name: row[0] / 100 for name, row in ERRORS.items()}
    return corruption_scores(table, CLEAN[model] / 100, (baseline, CLEAN["AlexNet"] / 100))


def test_table_2_has_all_corruptions():
    assert set(ERRORS) == set(CORRUPTIONS)


@pytest.mark.parametrize(
    ("model", "mean_error", "mean_ce", "mean_rce"),
    [
        ("AlexNet", 29.08, 100, 100),
        ("ResNet-20", 30.29, 104, 169),
        ("ResNet-32-PP", 26.63, 92, 145),
        ("DenseNet-100-24-PP", 21.37, 73, 129),
    ],
)
def test_scores_are_those_of_table_3(model, mean_error, mean_ce, mean_rce):
    scores = scores_of(model)
    assert pytest.approx(mean_error, abs=0.01) == 100 * scores.E  # AlexNet's 29.089 is printed cut off, not rounded
    assert 100 * scores.mCE == pytest.approx(mean_ce, abs=0.51)
    assert 100 * scores.rCE == pytest.approx(mean_rce, abs=0.51)


def test_the_baseline_s_ratios_are_one():
    scores = scores_of("AlexNet")
    assert list(scores.CE.values()) == pytest.approx([1.0] * 19)
    assert list(scores.rCE_by_corruption.values()) == pytest.approx([1.0] * 19)
