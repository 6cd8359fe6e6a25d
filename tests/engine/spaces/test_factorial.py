import itertools

import numpy as np
import pytest

from engine.errors import InputError
from engine.spaces.factorial import MOST_FACTORS, design

FRACTIONS = [  # number of runs, as tables of designs have them (Box, Hunter and Hunter)
    (3, 3, 4, 3),
    (4, 3, 8, 4),
    (4, 4, 8, 4),
    (5, 3, 8, 3),
    (5, 4, 16, 5),
    (5, 5, 16, 5),
    (6, 3, 8, 3),
    (6, 4, 16, 4),
    (6, 5, 32, 6),
    (7, 3, 8, 3),
    (7, 4, 16, 4),
    (7, 5, 64, 7),
    (8, 3, 16, 4),
    (8, 4, 16, 4),
    (8, 5, 64, 5),
]


@pytest.mark.parametrize(("n", "asked", "n_runs", "resolution"), FRACTIONS)
def test_a_fraction_has_as_many_runs_as_the_tables_say_and_its_resolution(n, asked, n_runs, resolution):
    found = design(n, asked)
    assert len(set(found.runs())) == n_runs
    assert found.resolution == resolution


@pytest.mark.parametrize(("n", "asked"), [(n, None) for n in (2, 3, 5)] + [row[:2] for row in FRACTIONS])
def test_aliases_are_the_effects_whose_columns_are_the_same(n, asked):
    """Against the columns themselves: two effects are confused if, and only if, they have one column."""
    found = design(n, asked)
    runs = np.array(found.runs())
    effects = [frozenset(pair) for size in (1, 2) for pair in itertools.combinations(range(n), size)]
    columns = {effect: runs[:, sorted(effect)].prod(axis=1) for effect in effects}
    for effect in effects:
        assert [found.sign(effect, run) for run in found.runs()] == columns[effect].tolist()
        same = {other for other in effects if other != effect and (columns[other] == columns[effect]).all()}
        assert set(found.aliases(effect, 2)) == same
        others = [other for other in effects if other not in {effect, *same}]
        assert all(columns[other] @ columns[effect] == 0 for other in others), "what is not confused is orthogonal"


def test_the_first_run_has_everything():
    assert all(set(design(n, asked).runs()[0]) == {1} for n, asked, *_ in FRACTIONS)


@pytest.mark.parametrize(
    ("n", "resolution", "match"),
    [
        (1, None, r"from 2 to 8 factors, got 1"),
        (MOST_FACTORS + 1, None, r"from 2 to 8 factors, got 9"),
        (4, 2, r"`resolution` must be one of 3, 4, 5 or None, got 2"),
        (3, 5, r"no fraction of 3 two-level factors has resolution V: .* all 8 combinations"),
    ],
)
def test_what_cannot_be_is_refused(n, resolution, match):
    with pytest.raises(InputError, match=match):
        design(n, resolution)
