import csv
import json

import pytest
import torch
from PIL import Image

from engine.ranking import CONTROLS, compare_rankings, rank_filters
from engine.report import ranking_rows
from pipelines.rankings import command_line
from search_spaces._published import published
from search_spaces._selective import EXEMPLARS

TINY = (
    "data.n_train=60",
    "data.n_validation=30",
    "data.n_test=30",
    "model.name=cnn-2",
    "model.width=8",
    "pretrain.epochs=1",
    "distortion.n_images=20",
)


@pytest.fixture
def rankings(tmp_path, capsys, monkeypatch):
    """Return a function that runs the command with a home of its own: (exit code, what it printed, its errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, settings: tuple[str, ...] = ()) -> tuple[int, str, str]:
        given = {setting.partition("=")[0] for setting in settings}
        others = [setting for setting in TINY if setting.partition("=")[0] not in given]
        code = command_line(["--set", *others, *settings, "--n-draws", "3", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_rankings_prints_tables_and_writes_rows_and_a_figure(rankings, tmp_path):
    code, printed, errors = rankings("--n-seeds", "2", "--distances", "l1", "cosine", "--rows", "rows.json")
    assert (code, errors) == (0, "")
    for words in (*EXEMPLARS, *CONTROLS, "18/24", "19/24 (CIFAR-100)", "awgn 25 and blur 1", "by chance 0.5"):
        assert words in printed
    rows = json.loads((tmp_path / "rows.json").read_text())
    counts = {kind: len(ranking_rows.select(rows, kind=kind)) for kind in ("variant", "control")}
    assert counts == {"variant": 2 * 2 * 2 * 3, "control": 2 * 2 * 2 * (3 + 1 + 1 + 3)}  # seeds, distortions, layers
    assert len(ranking_rows.select(rows, kind="distortions", layer="conv1")) == 2
    assert len(ranking_rows.select(rows, kind="distances", seed=1, layer="conv2", distortion="blur 1")) == 3
    assert all(0 <= row["matches"] <= row["n_selected"] == 2 for row in rows)
    assert sum(count > 0 for count in Image.open(tmp_path / "rankings.png").convert("L").histogram()) > 20


def test_the_same_command_finds_its_rankings_and_says_the_same(rankings, tmp_path):
    first = rankings("--rows", "rows.csv")
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    again = rankings("--rows", "rows.csv")
    assert "pretrain" in first[1]
    assert "pretrain" not in again[1]
    assert "rank " not in again[1].splitlines()[0]
    assert list(csv.DictReader((tmp_path / "rows.csv").open())) == rows


def test_one_distortion_has_no_overlap_with_another(rankings):
    code, printed, _ = rankings("--distortions", "blur=2", "--distances", "emd_1d", settings=("finetune.layers=first",))
    assert code == 0
    assert "Overlap" not in printed
    assert "conv2" not in printed
    assert "18/24" not in printed  # the paper's table is of AWGN


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("--distortions", "awgn"), (), "a distortion is written NAME=LEVEL, such as awgn=25; got 'awgn'"),
        (("--distortions", "blur=1", "fog=2"), (), "unknown distortion 'fog'"),
        (("--distortions", "blur=1", "blur=1"), (), "must be another one, got blur=1 blur=1"),
        (("--distances", "l3"), (), "unknown distance 'l3'"),
        (("--n-draws", "0"), (), "`--n-draws` must be ≥ 1, got 0"),
        (("--n-seeds", "0"), (), "`--n-seeds` must be ≥ 1, got 0"),
        (("--rows", "rows.txt"), (), "`--rows` must end in .json or .csv, got rows.txt"),
        (("--rows", "nowhere/rows.csv"), (), "the rows file's folder does not exist: nowhere"),
        (("--output", "nowhere/x.png"), (), "the figure's folder does not exist: nowhere"),
        ((), ("finetune.method=tent",), "`finetune.method` must be filters or correction, got tent"),
        ((), ("finetune.fraction=1.0",), "the settings select all filters of the layers: nothing is ranked"),
        (
            (),
            ("distortion.n_images=60",),
            "unpaired ranking needs at least 1 clean images that no noisy one comes from",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(rankings, arguments, settings, message):
    code, printed, errors = rankings(*arguments, settings=settings)
    assert (code, printed) == (2, "")  # nothing was trained
    assert errors.startswith("error: ")
    assert message in errors


def test_means_are_of_draws_first_and_of_seeds_then():
    rows = [{"seed": seed, "matches": value} for seed, value in ((0, 1), (0, 3), (1, 5), (2, None))]
    assert ranking_rows.mean_and_std(rows, "matches", 1) == "3.5 ±2.1"  # of 2 and 5
    assert ranking_rows.mean_and_std(rows[:2], "matches", 1) == "2.0"
    assert ranking_rows.mean_and_std(rows[3:], "matches", 1) == "–"


def test_pair_rows_compare_every_two_rankings_layer_by_layer():
    votes = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    one, other = rank_filters(votes), rank_filters(votes.flip(1))

    def compare(a, b):
        return compare_rankings(a, b, count=2)

    rows = list(ranking_rows.pair_rows({"x": {"c": one}, "y": {"c": other}, "z": {"c": one}}, compare, seed=7))
    assert [(row["ranking"], row["other"]) for row in rows] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert (rows[1]["matches"], rows[1]["rank_correlation"], rows[1]["seed"]) == (2, 1.0, 7)
    assert rows[0]["matches"] == compare(one, other).matches


def test_the_paper_s_table_has_three_layers_a_variant():
    assert set(published("filters-table-1").columns) == set(EXEMPLARS)
    assert len(published("filters-table-1").values) == 3 * len(EXEMPLARS)
