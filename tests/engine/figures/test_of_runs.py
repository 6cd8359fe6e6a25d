import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from engine.figures.error_curves import error_by_severity
from engine.figures.error_heat_map import error_heat_map
from engine.figures.group_curves import groups_by_severity
from engine.figures.lettering import MOST_LINES, give_title, title_lines
from engine.figures.panels import CEILINGS, ceiling
from engine.figures.ranking_bars import ranking_bars
from engine.figures.saving import save_figure


def rows(error: float, corruption: str = "contrast") -> list[dict]:
    return [{"corruption": corruption, "severity": severity, "error": error} for severity in range(1, 6)]


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_a_trial_figure_shows_its_own_lines_alone() -> None:
    first = pixels(error_by_severity(rows(0.2), 0.9, "first"))  # the clean error makes the scales equal
    other = pixels(error_by_severity(rows(0.7), 0.9, "first"))
    assert first.shape == other.shape
    differs = np.abs(first - other).max(2) > 60
    heights = np.nonzero(differs.sum(1) > first.shape[1] / 4)[0]  # where a line runs across the panel
    low, high = heights.min(), heights.max()
    assert (high - low) / first.shape[0] > 0.25  # two lines apart: 0.7 is not drawn over 0.2
    again = pixels(error_by_severity(rows(0.2), 0.9, "first"))
    np.testing.assert_array_equal(first, again)


def test_a_trial_figure_has_its_own_title() -> None:
    first, other = (pixels(error_by_severity(rows(0.2), 0.2, title)) for title in ("first", "a longer title"))
    changed = np.nonzero(np.abs(first - other).max(2).any(1))[0]
    assert changed.size > 0
    assert changed.max() < 0.1 * first.shape[0]


def test_corruptions_of_another_sort_have_panels_of_their_own() -> None:
    one = error_by_severity(rows(0.2), 0.1, "trial")
    two = error_by_severity(rows(0.2) + rows(0.4, "gaussian_noise"), 0.1, "trial")
    assert two.width > one.width


def test_the_heat_map_shows_each_error_in_its_cell() -> None:
    low, mixed = rows(0.85) + rows(0.1, "fog"), rows(0.85) + rows(0.9, "fog")
    first, other = (pixels(error_heat_map(table, "trial")) for table in (low, mixed))
    changed = np.abs(first - other).max(2) > 60
    below = np.nonzero(changed.any(1))[0]
    assert changed.any(0).sum() > 0.3 * first.shape[1]
    assert below.min() > 0.35 * first.shape[0]  # fog is the lower row
    np.testing.assert_array_equal(first, pixels(error_heat_map(low, "trial")))


def test_the_bars_of_the_selected_filters_are_orange() -> None:
    rankings = {"conv1": {"points": [4.0, 3.0, 2.0, 1.0], "rule": "borda", "n_images": 8}}
    orange = [
        int(((array[..., 0] > 240) & (array[..., 2] < 30)).sum())
        for array in (pixels(ranking_bars(rankings, {"conv1": chosen}, "bars")) for chosen in ([], [0], [0, 1]))
    ]
    assert orange[0] == 0 < orange[1] < orange[2]


def test_colours_and_panels_go_up_to_the_errors_and_no_further() -> None:
    """With colours fixed from 0 to 1, errors of a few percent were all one colour, and their lines on the axis."""
    array = pixels(error_heat_map([*rows(0.001), *rows(0.019, "fog")], "trial"))
    cells = array[: array.shape[0] // 2], array[array.shape[0] // 2 :]
    commonest = [_commonest_colour(part) for part in cells]
    assert np.abs(commonest[0] - commonest[1]).max() > 100
    low, high = (pixels(error_by_severity(rows(error), error, "trial")) for error in (0.001, 0.016))
    differs = np.nonzero((np.abs(low - high).max(2) > 60).sum(1) > low.shape[1] / 4)[0]
    assert (differs.max() - differs.min()) / low.shape[0] > 0.25


def _commonest_colour(array: np.ndarray) -> np.ndarray:
    colours, counts = np.unique(array.reshape(-1, 3), axis=0, return_counts=True)
    coloured = np.ptp(colours, axis=1) > 20  # neither paper nor ink
    return colours[coloured][counts[coloured].argmax()]


def test_a_scale_ends_at_one_of_a_few_places_above_every_error() -> None:
    for error in np.linspace(0, 1, 101):
        assert ceiling(error) in CEILINGS
        assert error <= ceiling(error) <= max(0.01, 2.5 * error)


LONG = "proposal/12: " + ", ".join(f"finetune.training.setting_{number}={number}" for number in range(12))


@pytest.mark.parametrize("width", [3.8, 12.8])
def test_a_title_is_whole(width) -> None:
    lines = title_lines(LONG, width)
    assert " ".join(lines) == LONG
    assert max(map(len, lines)) <= width * 12.5
    assert title_lines("a\nb", width) == ["a", "b"]
    far_too_long = title_lines(", ".join(["layer"] * 5000), width)
    assert len(far_too_long) == MOST_LINES
    assert far_too_long[-1].endswith("…")


def test_a_figure_has_room_for_all_lines_of_its_title() -> None:
    for draw in (
        lambda title: error_heat_map(rows(0.2), title),
        lambda title: error_by_severity(rows(0.2), 0.1, title),
        lambda title: groups_by_severity({"plain": [rows(0.2)]}, title),
    ):
        short, long = pixels(draw("short")), pixels(draw(LONG))
        taller = long.shape[0] - short.shape[0]
        assert taller > 30
        ink = [np.nonzero((array < 250).any((1, 2)))[0][0] for array in (short, long)]
        assert ink[0] == pytest.approx(ink[1], abs=3)  # both begin at the upper edge
        edge = long[:, [0, -1]]
        assert (edge >= 250).all(), "nothing is cut at the sides"


@pytest.mark.parametrize("name", ["cost $5 and $x_{", "$", "_hidden"])
def test_names_are_no_formulas_and_none_is_hidden(name, tmp_path) -> None:
    error_heat_map(rows(0.2, name), name)
    error_by_severity(rows(0.2, name), 0.1, name)
    ranking_bars({name: {"points": [4.0, 3.0], "rule": "borda", "n_images": 8}}, {}, name)
    with_name = pixels(groups_by_severity({"plain": [rows(0.2)], name: []}, "title"))
    assert _is_orange(with_name).any(), "the group without a line is in the legend"
    assert not _is_orange(pixels(groups_by_severity({"plain": [rows(0.2)]}, "title"))).any()
    figure = Figure(layout="constrained")
    give_title(figure, name)
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").is_file()


def _is_orange(array: np.ndarray) -> np.ndarray:
    return (array[..., 0] > 240) & (array[..., 2] < 60)


def test_many_groups_have_a_legend_below_and_lines_of_their_own() -> None:
    few, many = (
        pixels(groups_by_severity({f"arm number {n}": [rows(0.02 * n)] for n in range(count)}, "title"))
        for count in (2, 23)
    )
    assert many.shape[0] > few.shape[0] + 100  # a legend of several lines
    assert all((array[:, [0, -1]] >= 250).all() for array in (few, many))


def test_a_long_name_of_a_corruption_is_whole_beside_the_heat_map() -> None:
    names = ["contrast", "a_corruption_of_my_own_with_a_very_long_name"]
    array = pixels(error_heat_map(list(itertools.chain.from_iterable(rows(0.2, name) for name in names)), "title"))
    assert (array[:, :3] >= 250).all()
