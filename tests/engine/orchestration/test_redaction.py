import pytest

from engine.orchestration.options import SweepOptions
from engine.orchestration.redaction import hide_credentials
from engine.orchestration.results import Results
from engine.orchestration.sweep import sync_command, view_commands
from engine.orchestration.tracking import check_tracking
from tests.engine.orchestration.spaces import SPACE


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://user:pw@host/db", "postgresql://***@host/db"),
        ("postgresql+psycopg2://user:p%40w@host:5432/db", "postgresql+psycopg2://***@host:5432/db"),
        ("https://user:p@w@host/x", "https://***@host/x"),
        ("mysql://user:pa/ss@host/x", "mysql://***@host/x"),
        ("https://token@host", "https://***@host"),
        ("failed: http://u:p@a/x and http://u:p@b/y.", "failed: http://***@a/x and http://***@b/y."),
        ("postgresql:///db?user=u&password=pw&x=1", "postgresql:///db?user=u&password=***&x=1"),
        ("https://host/?access_token=abc", "https://host/?access_token=***"),
        ('{"a": "http://host", "b": "me@home"}', '{"a": "http://host", "b": "me@home"}'),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("http://127.0.0.1:5000/#/experiments/1?x=tags.`a`", "http://127.0.0.1:5000/#/experiments/1?x=tags.`a`"),
        ("mail me@home about http://host", "mail me@home about http://host"),
    ],
)
def test_credentials_are_hidden_and_nothing_else(text: str, hidden: str) -> None:
    assert hide_credentials(text) == hidden
    assert hide_credentials(hidden) == hidden


def test_commands_that_are_printed_have_no_credentials(tmp_path) -> None:
    for tracking in ("https://user:hunter2@host", "postgresql://user:hunter2@host/mlflow"):
        options = SweepOptions(home=tmp_path, tracking_uri=tracking, storage="postgresql://user:hunter2@host/optuna")
        printed = "\n".join([*view_commands(options, Results("s", SPACE, (), "7")), sync_command(options)])
        assert "hunter2" not in printed
        assert "***@host" in printed
        assert "python -m pipelines.sync --home" in printed


def test_a_refused_tracking_uri_is_named_without_its_password() -> None:
    with pytest.raises(ValueError, match="tracking URI must be") as error:
        check_tracking("ftp://user:hunter2@host", None)
    assert "hunter2" not in str(error.value)
