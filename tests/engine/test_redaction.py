import pytest

from engine.orchestration.options import SweepOptions
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.search.pruners import parse_pruner
from engine.orchestration.tracking import Spool
from engine.orchestration.tracking.mlflow_database import check_tracking
from engine.redaction import hide_credentials, hide_in
from engine.report.commands import export_command, sync_command, view_commands
from engine.report.reasons import Reason
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from pipelines.report import command_line as report
from pipelines.sweep import command_line as sweep
from tests.engine.orchestration.spaces import SPACE
from tests.engine.orchestration.studies import make_sweep_study


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
        ("https://host/?api_key=abc&x=1", "https://host/?api_key=***&x=1"),
        ("https://b.s3.host/k?X-Amz-Signature=ab12&x=1", "https://b.s3.host/k?X-Amz-Signature=***&x=1"),
        ("https://h/?X-Amz-Credential=AKIA/1/s3&sig=a%2Bb", "https://h/?X-Amz-Credential=***&sig=***"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3D1%3BPWD%3Dhunter2", "mssql+pyodbc:///?odbc_connect=***"),
        ("PWD%3Dhunter2", "PWD%3D***"),
        ("host=h password = hunter2 dbname=x", "host=h password = *** dbname=x"),
        ("s3:/key:secret@bucket/x", "s3:/***@bucket/x"),
        ("postgresql//user:pw@host/db", "postgresql//***@host/db"),
        ("postgresql+psycopg2://:pw@host/db", "postgresql+psycopg2://***@host/db"),
        ("sqlite:////home/me@work/a.db", "sqlite:////home/me@work/a.db"),
        ("/home/me@work/a:b@c", "/home/me@work/a:b@c"),
        ('{"a": "http://host", "b": "me@home"}', '{"a": "http://host", "b": "me@home"}'),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("http://127.0.0.1:5000/#/experiments/1?x=tags.`a`", "http://127.0.0.1:5000/#/experiments/1?x=tags.`a`"),
        ("mail me@home about http://host", "mail me@home about http://host"),
    ],
)
def test_credentials_are_hidden_and_nothing_else(text: str, hidden: str) -> None:
    assert hide_credentials(text) == hidden
    assert hide_credentials(hidden) == hidden


@pytest.mark.parametrize("sign", ["=", " = ", "%3D", "%3d"])
@pytest.mark.parametrize("written", [str.lower, str.upper, str.title])
@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_passwd",
        "pwd",
        "my-passphrase-2",
        "token",
        "client_secret",
        "credentials",
        "signature",
        "apikey",
        "api_key",
        "AccessKey",
        "access_key",
        "privatekey",
        "private_key",
        "auth",
        "sig",
        "odbc_connect",
    ],
)
def test_secrets_are_known_by_their_names_however_these_are_written(name: str, written, sign: str) -> None:
    assert hide_credentials(f"a {written(name)}{sign}hunter2 b") == f"a {written(name)}{sign}*** b"


def test_the_texts_of_a_value_have_no_credentials() -> None:
    value = {"a": ["https://user:hunter2@host", 1, None, True], "b": {"c": ('token=hunter2 "x"',)}}
    assert hide_in(value) == {"a": ["https://***@host", 1, None, True], "b": {"c": ['token=*** "x"']}}


def test_a_secret_in_quotes_leaves_the_spool_s_line_whole(tmp_path) -> None:
    spool = Spool(tmp_path / "s.jsonl")
    spool.append({"text": 'it said "password=hunter2" and "https://u:hunter2@host"', "n": 1})
    assert "hunter2" not in spool.path.read_text()
    assert spool.pending()[0] == [{"text": 'it said "password=***" and "https://***@host"', "n": 1}]


ADDRESSES = (
    "postgresql://user:hunter2@127.0.0.1:1/x",
    "postgresql//user:hunter2@127.0.0.1:1/x",
    "foo://user:hunter2@host/x",
    "redis://:hunter2@127.0.0.1:1/0",
    "mssql+pyodbc:///?odbc_connect=PWD%3Dhunter2",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_storage_that_refuses_is_named_without_its_password(address: str, capsys, tmp_path) -> None:
    for arguments in ([], ["--study", "x"]):
        assert report(["--storage", address, *arguments]) == 2
        assert_hidden(capsys.readouterr())
    assert sweep(["--home", str(tmp_path), "--storage", address]) == 2
    assert_hidden(capsys.readouterr())


def assert_hidden(output) -> None:
    beginnings = ("study storage cannot be used: ", "a database's address is like ", "database ")
    assert output.err.startswith(tuple(f"error: {beginning}" for beginning in beginnings))
    assert "hunter2" not in output.err + output.out
    assert "***" in output.err


def test_an_unexpected_error_is_shown_in_full_without_credentials(monkeypatch, capsys) -> None:
    def fail(storage: str) -> None:
        raise RuntimeError(f"no answer from {storage}\nwith password=hunter2, twice")

    monkeypatch.setattr("pipelines.report.study_names", fail)
    assert report(["--storage", "postgresql://user:hunter2@host/x"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last)")
    assert error.endswith("RuntimeError: no answer from postgresql://***@host/x\nwith password=***, twice\n")


def test_a_failure_s_reason_is_kept_without_credentials(tmp_path) -> None:
    study = make_sweep_study(
        PlannedTrials(SPACE, 4, 0),
        storage=f"sqlite:///{tmp_path}/o.db",
        name="s",
        sampler="tpe",
        pruner=parse_pruner("none"),
    )
    proposal = study.ask()
    assert proposal is not None
    study.fail(proposal.number, Reason("stage", "pretrain", text="OSError: https://user:hunter2@host refused"))
    (failed,) = study.finished()
    assert failed.user_attrs["reason"]["text"] == "OSError: https://***@host refused"


def test_commands_that_are_printed_have_no_credentials(tmp_path) -> None:
    for tracking in ("https://user:hunter2@host", "postgresql://user:hunter2@host/mlflow"):
        options = SweepOptions(home=tmp_path, tracking_uri=tracking, storage="postgresql://user:hunter2@host/optuna")
        results = Results("s", SPACE, (), "7")
        best = TrialResult(0, "proposal/0", "", 0, "COMPLETE", {}, 0.1, None, None, {})
        winning = Results("s", SPACE, (best,), "7")
        commands = view_commands(results, storage=options.storage_url, tracking=options.tracking_url, home=options.home)
        printed = "\n".join([*commands, sync_command(options.home, options.tracking_uri, "mlflow", ())])
        export = export_command(winning, options.home, storage=options.storage, store=None)
        assert "--storage 'postgresql://***@host/optuna'" in export
        assert "hunter2" not in printed + export
        assert "***@host" in printed
        assert "python -m pipelines.sync --home" in printed


def test_a_refused_tracking_uri_is_named_without_its_password() -> None:
    with pytest.raises(ValueError, match="tracking URI must be") as error:
        check_tracking("ftp://user:hunter2@host", None)
    assert "hunter2" not in str(error.value)
