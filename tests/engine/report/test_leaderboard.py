"""What RobustBench's leaderboard takes: its fields, its table of cells; nothing less than all is called all."""

import io
import json
from dataclasses import replace

import pandas as pd
import pytest

from engine.data import DataInfo
from engine.errors import InputError
from engine.report import leaderboard
from engine.settings import DataSettings
from tests.engine.corruptions.reference import reference_path

CELLS = [(name, severity) for name in sorted(leaderboard.CORRUPTIONS) for severity in (1, 2, 3, 4, 5)]
TEST = {
    "clean": 0.0478,
    "corrupted": [
        {"corruption": name, "severity": severity, "error": number / 200}
        for number, (name, severity) in enumerate([*CELLS, ("saturate", 1)])
    ],
}
FIELDS = ("link=https://arxiv.org/abs/1", "name=A=B", "additional_data=False", "reported=73.5")
EVALUATION = {"corruptions": [*leaderboard.CORRUPTIONS, "saturate"], "severities": [1, 2, 3, 4, 5]}


@pytest.fixture
def info(tmp_path):
    """Return what is known of CIFAR-10 with published corrupted images."""
    (tmp_path / "CIFAR-10-C").mkdir()
    return DataInfo(
        *("ab" * 16 for _ in range(3)),
        settings=DataSettings(name="cifar10:here"),
        n_classes=10,
        channels=3,
        image_size=32,
        severity_table="cifar-c",
        n_train=40_000,
        n_validation=10_000,
        n_test=10_000,
        corruption_folder=str(tmp_path / "CIFAR-10-C"),
    )


def test_an_entry_has_what_was_measured_and_what_was_said(info):
    made = leaderboard.entry(info, TEST, leaderboard.read_fields(FIELDS))
    assert made == {
        "link": "https://arxiv.org/abs/1",
        "name": "A=B",
        "authors": None,
        "additional_data": False,
        "number_forward_passes": 1,
        "dataset": "cifar10",
        "venue": None,
        "architecture": None,
        "eps": None,
        "clean_acc": "95.22",
        "reported": "73.50",
        "corruptions_acc": "81.50",  # the mean error is that of 0 … 74, of 200
    }
    assert leaderboard.left_empty(made) == ["authors", "venue", "architecture"]
    assert "footnote" in leaderboard.entry(info, TEST, {"footnote": "it"})


def test_the_row_is_read_as_the_leaderboard_reads_its_table():
    table = pd.read_csv(io.StringIO(leaderboard.row("Mine2026Robust", TEST)), header=[0, 1], index_col=0)
    assert list(table.index) == ["Mine2026Robust"]
    assert list(dict.fromkeys(table.columns.get_level_values(0))) == list(leaderboard.CORRUPTIONS)
    errors = {(row["corruption"], str(row["severity"])): row["error"] for row in TEST["corrupted"][:-1]}
    assert dict(table.loc["Mine2026Robust"]) == pytest.approx({cell: 1 - error for cell, error in errors.items()})


def test_the_fifteen_are_those_that_published_errors_are_of():
    published = json.loads(reference_path("successors/published_cifar10c.json").read_text())
    assert all(name in json.dumps(published) for name in leaderboard.CORRUPTIONS)
    assert len(set(leaderboard.CORRUPTIONS)) == 15


def test_nothing_less_than_the_published_set_is_called_so(info, tmp_path):
    leaderboard.check_tested(info, EVALUATION)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "robustune.json").write_text("{}")
    cases = [
        (
            replace(info, settings=DataSettings(name="digits")),
            EVALUATION,
            "is about cifar10 and cifar100 .*, got digits",
        ),
        (replace(info, n_test=1000), EVALUATION, r"1,000 of the 10,000 test images \(data\.n_test\)"),
        (replace(info, image_size=24), EVALUATION, "images of 3×24×24 instead of 3×32×32"),
        (replace(info, corruption_folder=None), EVALUATION, "made here instead of the published CIFAR-10-C"),
        (replace(info, corruption_folder=str(tmp_path / "made")), EVALUATION, "made, whose images were made here"),
        (info, {**EVALUATION, "severities": [1, 5]}, "severities 1, 5 instead of 1 to 5"),
        (info, {**EVALUATION, "corruptions": leaderboard.CORRUPTIONS[2:]}, "no shot_noise, motion_blur"),
    ]
    for of, evaluation, sentence in cases:
        with pytest.raises(InputError, match=sentence):
            leaderboard.check_tested(of, evaluation)
    with pytest.raises(InputError, match=r"data\.n_test\); severities 1, 5"):
        leaderboard.check_tested(replace(info, n_test=1000), {**EVALUATION, "severities": [1, 5]})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("author=Me", r"unknown field of the leaderboard's entry 'author' \(did you mean 'authors'\?\)"),
        ("clean_acc=99", "the field 'clean_acc' of the leaderboard's entry is measured"),
        ("authors", "must be FIELD=VALUE, got 'authors'"),
        ("additional_data=maybe", "`additional_data` must be true or false, got 'maybe'"),
        ("reported=173", "`reported` must be the accuracy in %"),
        ("reported=nan", "`reported` must be the accuracy in %"),
    ],
)
def test_a_field_that_cannot_be_is_a_sentence(given, sentence):
    with pytest.raises(InputError, match=sentence):
        leaderboard.read_fields([given])
