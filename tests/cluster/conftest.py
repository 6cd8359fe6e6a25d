"""Machines for a test, where they can be made; else the test is skipped with the reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import recording
from tests.cluster.hosts import Hosts, why_not
from tests.cluster.own_machines import HEAD, WORKERS


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A folder, which all machines see, with a line for each start of a stage."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    recording.set_pause(folder, 0.0)
    return folder


@pytest.fixture
def variables() -> dict[str, str]:
    """The environment of whoever logs in, if a test wants one."""
    return {}


@pytest.fixture
def hosts(tmp_path: Path, recorded: Path, variables: dict[str, str]) -> Iterator[Hosts]:
    """A laptop, a head and two workers, up and on one network, without anything of the project's on them."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"machines of namespaces: {reason}")
    # Nothing outside is reached: what the project needs is in the environment that every machine has a copy of.
    pip = {"NO_INDEX": "1", "NO_BUILD_ISOLATION": "0", "DISABLE_PIP_VERSION_CHECK": "1", "ROOT_USER_ACTION": "ignore"}
    own = {f"PIP_{name}": value for name, value in pip.items()}
    own |= {recording.FOLDER: str(recorded), "AUTOSCALER_UPDATE_INTERVAL_S": "1"}  # it looks for machines more often
    made = Hosts(tmp_path, (HEAD, *WORKERS), variables | own)
    try:
        made.up()
        yield made
    finally:
        made.down()
