"""What a user's own stage says of its settings, as a sweep's first and only words."""

import re

import pytest

from pipelines import sweep
from tests.registered import imported, write_printed


@pytest.mark.parametrize("dry_run", [("--dry-run",), ()], ids=["dry run", "run"])
def test_a_sweep_refuses_what_a_stage_s_check_refuses_before_anything_starts(tmp_path, capsys, monkeypatch, dry_run):
    monkeypatch.setattr("engine.orchestration.sweep.Sweep.run", lambda self: pytest.fail("the sweep was started"))
    write_printed(tmp_path)
    home = tmp_path / "home"
    words = ["--import", "pruning", "--space", str(tmp_path / "pruned.py"), "--home", str(home), *dry_run]
    words += ["--set", "data.n_train=60", "distortion.n_images=20", "prune.fraction=0.99999"]
    with imported(tmp_path, "pruning"):
        assert sweep.command_line(words) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: `prune\.fraction` of 0\.99999 leaves 1 weights to \d convolutions\n", error)
    assert not (home / "optuna.db").exists()
