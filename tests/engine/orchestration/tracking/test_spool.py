from pathlib import Path

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
