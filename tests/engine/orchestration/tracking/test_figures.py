import numpy as np
from PIL import Image

from engine.orchestration.tracking.figures import error_by_severity, error_heat_map, ranking_bars


def rows(error: float, corruption: str = "contrast") -> list[dict]:
    return [{"corruption": corruption, "severity": severity, "error": error} for severity in range(1, 6)]


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_a_trial_figure_shows_its_own_lines_alone() -> None:
    first = pixels(error_by_severity(rows(0.2), 0.2, "first"))
    other = pixels(error_by_severity(rows(0.7), 0.7, "first"))
    assert first.shape == other.shape
    differs = np.abs(first - other).max(2) > 60
    heights = np.nonzero(differs.sum(1) > first.shape[1] / 4)[0]  # where a line runs across the panel
    low, high = heights.min(), heights.max()
    assert (high - low) / first.shape[0] > 0.25  # two lines apart: 0.7 is not drawn over 0.2
    again = pixels(error_by_severity(rows(0.2), 0.2, "first"))
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
    low, mixed = rows(0.1) + rows(0.1, "fog"), rows(0.1) + rows(0.9, "fog")
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
