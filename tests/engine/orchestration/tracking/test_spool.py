from pathlib import Path

import numpy as np
import pytest

from engine.orchestration.tracking import Spool


def test_events_are_pending_until_marked(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a" / "events.jsonl")
    spool.append({"n": 1})
    events, offset = spool.pending()
    assert events == [{"n": 1}]
    spool.append({"n": 2})
    spool.mark(offset)
    assert spool.pending()[0] == [{"n": 2}]


def test_a_new_process_goes_on_where_the_old_one_marked(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = Spool(path)
    first.append({"n": 1})
    first.mark(first.pending()[1])
    first.append({"n": 2})
    assert Spool(path).pending()[0] == [{"n": 2}]


def test_a_torn_last_line_is_not_read_and_does_not_hide_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    Spool(path).append({"n": 1})
    with path.open("a") as file:
        file.write('{"n": 2, "te')
    restarted = Spool(path)
    restarted.append({"n": 3})
    restarted.append({"n": 4})
    assert restarted.pending()[0] == [{"n": 1}, {"n": 3}, {"n": 4}]


def test_a_part_of_what_is_pending_can_be_read_and_marked(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "events.jsonl")
    for n in range(5):
        spool.append({"n": n})
    events, offset = spool.pending(2)
    assert events == [{"n": 0}, {"n": 1}]
    spool.mark(offset)
    assert spool.pending(2)[0] == [{"n": 2}, {"n": 3}]
    assert len(spool.pending()[0]) == 3


@pytest.mark.parametrize("mark", ["", "x", "100000"])
def test_a_mark_that_does_not_fit_counts_as_none(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "events.jsonl"
    Spool(path).append({"n": 1})
    path.with_suffix(".done").write_text(mark)
    assert Spool(path).pending()[0] == [{"n": 1}]


def test_credentials_in_an_event_are_not_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "events.jsonl")
    spool.append({"tags": {"fail_reason": "no answer from https://user:hunter2@host/x", "n": 1}})
    assert "hunter2" not in spool.path.read_text()
    assert spool.pending()[0] == [{"tags": {"fail_reason": "no answer from https://***@host/x", "n": 1}}]


def test_an_event_that_json_cannot_hold_is_kept_as_far_as_it_can(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "events.jsonl")
    nan, infinite = float("nan"), float("inf")
    steps = [[1, {"a": nan, "b": 0.5}], [2, {"a": -infinite, "c": np.float32(0.25)}]]
    numbers = [1, nan, np.float32(nan)]
    spool.append({"event": "metrics", "steps": steps, "list": numbers, "path": tmp_path, "many": 10**400})
    (event,) = spool.pending()[0]
    assert event == {
        "event": "metrics",
        "steps": [[1, {"b": 0.5}], [2, {"c": 0.25}]],
        "list": [1, None, None],
        "path": str(tmp_path),
        "many": 10**400,
    }
