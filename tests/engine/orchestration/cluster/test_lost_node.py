"""A machine that is lost with the stage that all wait for: the others go on with it within seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PLAIN = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
"""So that `ray start` and a cluster that is started from Python agree on whether tokens are asked for."""
NEXT_S = 20.0
"""Within which the survivors' next artifact is there: Ray takes up to 15 s to notice that a node is gone."""


@pytest.mark.cluster
@pytest.mark.timeout(200)
def test_what_a_lost_machine_held_goes_on_at_once_elsewhere(tmp_path: Path) -> None:
    allowed = subprocess.run(["unshare", "--uts", "--pid", "--fork", "true"], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip("needs the right to make namespaces")
    module = "tests.engine.orchestration.cluster.lost_node"
    words = [sys.executable, "-m", module, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False, env=PLAIN)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["lost_s"] < NEXT_S + 12 * 0.5, "the stage itself takes up to six seconds more"
    assert (found["start"], found["epoch-1"]) == (2, 1), "it went on from its checkpoint"
    assert found["lost_nodes"] == 1
    assert found["preempted"] == 1
    assert found["lost_workers"] == 0
    assert any("has come" in text for text in found["said"])
    assert any(text.startswith("lost far-away (") for text in found["said"])
