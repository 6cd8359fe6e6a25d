"""What the views of rankings and of disparity count, against counting it once more."""

import statistics

import pytest
import torch

from engine.ranking import CONTROLS, activation_maps
from engine.report.text_tables import Table
from engine.report.views import Plot, Shown, view_parts
from engine.stages.network import load_network
from engine.stages.noisy import distorted
from search_spaces._selective import EXEMPLARS
from tests.search_spaces.tiny import shown_tiny


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return the folder that the spaces share."""
    return tmp_path_factory.mktemp("home")


def tables(shown: Shown) -> list[Table]:
    """Return a view's tables, without those of its pictures."""
    parts = view_parts(shown)
    assert not [part for part in parts if isinstance(part, str)], "all of it is shown"
    return [part for part in parts if isinstance(part, Table)]


def most_affected(shown: Shown, arm: str) -> list[set[int]]:
    """Return the two filters that a network of eight has most affected in its first layer, seed by seed."""
    (group,) = (group for group in shown.results.groups() if group.name == arm)
    return [set(shown.artifact(trial, "rank").json("ranking")["conv1"]["order"][:2]) for trial in group.trials]


def mean_and_std(values: list[float]) -> str:
    return f"{statistics.fmean(values):.1f} ±{statistics.stdev(values):.1f}"


def test_unpaired_rankings_are_counted_against_the_paired_one_beside_the_paper_s(home):
    shown = shown_tiny("filters-table-1", home, {"model.width": 8})
    agreement, accuracy, changes = tables(shown)
    first = [row for row in agreement.rows if row][: len(EXEMPLARS) + len(CONTROLS)]
    assert [row[1] for row in first] == [*EXEMPLARS, *CONTROLS]
    assert [row[0] for row in first[:3]] == ["conv1", "2 most affected", "by chance 0.5"]
    paired = most_affected(shown, "paired")
    for row in first[: len(EXEMPLARS)]:
        matches = [len(one & other) for one, other in zip(most_affected(shown, row[1]), paired, strict=True)]
        assert row[2] == mean_and_std(matches)
    assert [row[-1] for row in first[:4]] == ["18/24", "14/24", "13/24", ""]
    assert [row[0] for row in accuracy.rows] == ["paired", *EXEMPLARS, "random filters"]
    assert len(changes.rows) == 2 * len(EXEMPLARS) + 1


def test_noise_and_blur_are_counted_in_common(home):
    shown = shown_tiny("filters-fig-4", home, {"model.width": 8})
    (overlap,) = tables(shown)
    pairs = zip(most_affected(shown, "blur"), most_affected(shown, "awgn"), strict=True)
    assert overlap.rows[0][:4] == (
        "conv1",
        "blur and awgn",
        mean_and_std([len(one & other) for one, other in pairs]),
        "2",
    )
    assert overlap.caption.endswith("6/8 (CIFAR-10), 19/24 (CIFAR-100)")
    (plot,) = (part for part in view_parts(shown) if isinstance(part, Plot))
    chosen = {int(row[2]) for row in plot.data.rows if row[:2] == ("blur 2", "conv1") and row[-1]}
    assert chosen == most_affected(shown, "blur")[0]


def test_disparity_is_summed_over_filters_and_places_of_stored_networks(home):
    shown = shown_tiny("filters-fig-6", home, {"model.width": 8})
    (table,) = tables(shown)
    assert [row[:2] for row in table.rows[:4]] == [["conv1", name] for name in ("baseline", "all", "most", "random")]
    assert "awgn 100: mean over 40 test images, 95 % interval over 2 seeds" in table.title
    test, sums = shown.data().test, []
    noisy = distorted(test, {"name": "awgn", "level": 100.0}, seed=1)  # the seed of test images
    (tuned,) = (group for group in shown.results.groups() if group.name.endswith("most"))
    for trial in tuned.trials:
        network = load_network(
            *(shown.artifact(trial, stage) for stage in ("pretrain", "finetune")), torch.device("cpu")
        )
        clean_maps, noisy_maps = (
            next(activation_maps(network, images, ["conv1"]))["conv1"] > 0 for images in (test.images, noisy.images)
        )
        sums.append(float((clean_maps != noisy_maps).sum()) / len(test))
    assert table.rows[2][2].split(" ")[0] == f"{statistics.fmean(sums):.1f}"
