"""Threads give what one gives, in order, a little ahead and no more."""

import threading

import pytest

from engine.data.parallel import _AHEAD, AT_ONCE, in_order


@pytest.mark.parametrize("n", [0, 1, AT_ONCE, 100])
def test_results_are_in_order(n):
    assert list(in_order(lambda item: item * item, range(n), threads=3)) == [item * item for item in range(n)]


def test_no_more_is_done_than_is_soon_wanted():
    begun = []
    results = in_order(lambda item: begun.append(item) or item, range(10_000), threads=2)
    assert [next(results) for _ in range(5)] == list(range(5))
    assert len(begun) <= 2 * _AHEAD * AT_ONCE
    results.close()
    assert len(begun) <= 2 * _AHEAD * AT_ONCE
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("files")]


def test_what_is_raised_arrives_where_its_result_would():
    def work(item):
        if item == 50:
            raise ValueError("fifty")
        return item

    results = in_order(work, range(1000), threads=2)
    assert [next(results) for _ in range(48)] == list(range(48))
    with pytest.raises(ValueError, match="fifty"):
        list(results)
