import json
import re

import pytest

from engine.stages.profiling import Operation, StageProfile
from pipelines.profile import command_line, table_of

TINY = (
    "data.n_train=64",
    "data.n_validation=20",
    "data.n_test=20",
    "model.name=resnet-8",
    "model.width=4",
    "finetune.which=most",
    "distortion.n_images=10",
)


@pytest.fixture
def profile(tmp_path, capsys):
    """Return a function that profiles a tiny trial: (exit code, what it printed, its errors)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = command_line(["--home", str(tmp_path), "--threads", "1", "--set", *TINY, *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_stage_is_profiled_after_those_that_it_needs_and_leaves_a_trace(profile, tmp_path):
    code, printed, errors = profile("--stage", "finetune")
    assert (code, errors) == (0, "")
    assert re.search(r"^finetune: [0-9.]+ s, of the processor [0-9.]+ s$", printed, re.MULTILINE)
    assert "convolution_backward" in printed
    assert "pretrain:" not in printed
    assert "evaluate:" not in printed
    (trace,) = (tmp_path / "profiles").iterdir()
    assert trace.name == "finetune.json"
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert "aten::convolution_backward" in names
    assert not list((tmp_path / "store" / "artifacts").rglob("result.json")), "what is profiled is not kept"


def test_a_stage_that_the_trial_lacks_is_refused(profile):
    code, _, errors = profile("--stage", "finetun")
    assert code == 2
    assert "unknown stage of the trial 'finetun' (did you mean 'finetune'?)" in errors
    code, _, errors = profile("--epochs", "0")
    assert (code, errors) == (2, "error: `--epochs` must be ≥ 1, got 0\n")


def test_a_table_has_the_longest_operations_and_all_the_rest():
    operations = [Operation(f"op-{place}", 0.1 - 0.005 * place, 0.5 if place == 0 else 0.0, 2) for place in range(14)]
    table = table_of(StageProfile("rank", 2.0, 1.5, tuple(operations), None))
    assert table.title == "rank: 2.00 s, of the processor 1.50 s"
    assert table.columns == ["operation", "s", "share", "GPU s", "calls"]
    assert table.rows[0] == ["op-0", "0.100", "5.0%", "0.500", "2"]
    assert table.rows[12] == ["2 other operations", "0.075", "3.8%", "0.000", "4"]
    outside = 2.0 - sum(one.seconds for one in operations)
    assert table.rows[13][:3] == ["outside of operations", f"{outside:.3f}", f"{outside / 2:.1%}"]
    assert len(table.rows) == 14
