import os

import pytest
from ray import tune

from engine.orchestration.cluster.connection import Cluster
from engine.orchestration.cluster.slots import Machine
from engine.orchestration.cluster.tune_run import run_trials

LIMIT = "TUNE_MAX_PENDING_TRIALS_PG"


@pytest.mark.parametrize("before", [None, "7"])
def test_tunes_limit_of_waiting_trials_is_set_for_the_sweep_alone(tmp_path, monkeypatch, before) -> None:
    seen = []

    class FakeTuner:
        def __init__(self, *_, **__) -> None:
            pass

        def fit(self) -> None:
            seen.append(os.environ[LIMIT])
            raise KeyboardInterrupt

    monkeypatch.setattr(tune, "Tuner", FakeTuner)
    monkeypatch.delenv(LIMIT, raising=False)
    if before is not None:
        monkeypatch.setenv(LIMIT, before)
    cluster = Cluster("a machine", (Machine(2, 0),), (), {"trial_slot": 1}, 4, elastic=False)
    with pytest.raises(KeyboardInterrupt):
        run_trials(None, cluster, n_trials=12, folder=tmp_path, name="sweep")
    assert seen == ["12"]
    assert os.environ.get(LIMIT) == before
