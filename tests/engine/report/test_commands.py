"""The commands and addresses that a person goes on with."""

from pathlib import Path

import pytest

from engine.report.commands import view_commands, watching_commands
from engine.report.results import Results
from engine.result_names import View
from tests.engine.orchestration.spaces import SPACE

RESULTS = Results("a study", SPACE, (), "7")


@pytest.mark.parametrize("address", ["databricks", "databricks://profile", "http://host:5000/", "https://host/mlflow"])
def test_nobody_is_told_to_open_a_server_as_a_database(address: str) -> None:
    viewed = view_commands(RESULTS, storage="sqlite:///o.db", tracking=address, home=Path("runs"))
    watched = watching_commands(storage="sqlite:///o.db", tracking=address, home=Path("runs"))
    assert not any("mlflow ui" in line for line in [*viewed, *watched])
    assert any(address.removesuffix("/") in line for line in viewed)
    assert any(address in line for line in watched)


def test_a_database_is_opened_and_its_tables_have_addresses_of_their_own() -> None:
    lines = view_commands(RESULTS, storage="sqlite:///o.db", tracking="sqlite:///m.db", home=Path("runs"))
    page = "http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey="
    assert lines == [
        "mlflow ui --backend-store-uri sqlite:///m.db --port 5000",
        f"  arms side by side: {page}{View.key('a study', View.ANSWER)}",
        f"  trials side by side: {page}{View.key('a study', View.TRIALS)}",
        "optuna-dashboard sqlite:///o.db --artifact-dir runs/dashboard --port 8080",
    ]
