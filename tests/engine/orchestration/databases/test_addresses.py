"""Addresses of databases: a path comes out as it went in, or is refused; nothing is made by looking."""

import sqlite3

import pytest
from sqlalchemy import make_url

from engine.errors import InputError
from engine.orchestration import load_results
from engine.orchestration.databases.addresses import check_sqlite, is_same_database, sqlite_file, sqlite_url
from pipelines.report import command_line as report
from pipelines.sweep import command_line as sweep


@pytest.mark.parametrize("name", ["plain", "with space", "br[a]ck[et]s", "ü&=+#;@:~'", "100%", "%zz"])
def test_a_database_lies_where_its_path_says(tmp_path, name: str) -> None:
    import optuna

    file = tmp_path / name / "study.db"
    file.parent.mkdir()
    optuna.create_study(storage=sqlite_url(file), study_name="x")
    assert file.is_file()
    assert sqlite_file(sqlite_url(file)) == file
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["what?", "what?mode=memory"])
def test_a_path_that_an_address_cannot_hold_is_refused_before_anything_starts(tmp_path, capsys, name: str) -> None:
    home = tmp_path / name
    assert sweep(["--home", str(home), "--dry-run"]) == 2
    assert (
        f"a database cannot lie at {home}/optuna.db: in its address '?' would end the path" in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def test_an_encoded_letter_in_a_path_is_refused_or_kept(tmp_path) -> None:
    """SQLAlchemy decodes it from 2.1 on."""
    file = tmp_path / "%41" / "x.db"
    if make_url("sqlite:///%41").database == "A":
        with pytest.raises(InputError, match="'%' with two hexadecimal digits"):
            sqlite_url(file)
    else:
        assert sqlite_file(sqlite_url(file)) == file


def test_what_is_no_address_is_refused_without_its_credentials() -> None:
    with pytest.raises(InputError, match="a database's address is like sqlite:///FILE") as error:
        sqlite_file("postgres//me:hunter2@host/x")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(tmp_path, capsys, url: str) -> None:
    for option in ("--storage", "--tracking-uri"):
        assert sweep(["--home", str(tmp_path / "home"), option, url, "--dry-run"]) == 2
        assert "a database in memory cannot be shared" in capsys.readouterr().err


def test_one_database_for_study_and_tracking_is_refused(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = ["--home", "h", "--storage", "sqlite:///one.db", "--tracking-uri", f"sqlite:///{tmp_path}/one.db"]
    assert sweep([*one, "--dry-run"]) == 2
    assert "--storage and --tracking-uri name one database, got 'sqlite:///one.db'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("postgresql://a:b@host/x", "postgresql+psycopg2://c@host/x", True),
        ("postgresql://a:b@host/x", "postgresql://a:b@host/y", False),
        ("sqlite:///a/../x.db", "sqlite:///x.db", True),
        ("sqlite:///x.db", "http://127.0.0.1:5000", False),
    ],
)
def test_databases_are_compared_by_where_they_lead(url: str, other: str, same: bool) -> None:
    assert is_same_database(url, other) == same


@pytest.mark.parametrize("content", [b"no database at all, and long enough to be read as one" * 40, "torn"])
def test_a_damaged_database_is_one_sentence(tmp_path, capsys, content) -> None:
    file = tmp_path / "home" / "optuna.db"
    file.parent.mkdir()
    if content == "torn":
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE studies (a)")
            connection.executemany("INSERT INTO studies VALUES (?)", [("x" * 500,)] * 500)
        whole = file.read_bytes()
        content = whole[: len(whole) // 2]
    file.write_bytes(content)
    for command in (["--home", str(file.parent), "--dry-run"], ["--tracking-uri", f"sqlite:///{file}", "--dry-run"]):
        assert (
            sweep([*command, "--storage", f"sqlite:///{tmp_path}/other.db"] if "--tracking-uri" in command else command)
            == 2
        )
        error = capsys.readouterr().err
        assert f"database is damaged, or no database: {file}" in error
        assert error.count("\n") == 1
    assert report(["--home", str(file.parent)]) == 2
    assert file.read_bytes() == content


def test_a_report_of_nothing_makes_nothing(tmp_path, capsys) -> None:
    assert report(["--home", str(tmp_path / "home")]) == 2
    missing = f"no database: {tmp_path}/home/optuna.db does not exist; `--home` (or `--storage`) says where a study is"
    assert missing in capsys.readouterr().err
    assert report(["--storage", f"sqlite:///{tmp_path}/typo.db", "--study", "x"]) == 2
    assert f"no database: {tmp_path}/typo.db does not exist" in capsys.readouterr().err
    with pytest.raises(InputError, match="does not exist"):
        load_results("x", home=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_database_of_something_else_is_not_changed_by_a_report(tmp_path, capsys) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE mine (a)")
    before = file.read_bytes()
    assert report(["--storage", f"sqlite:///{file}"]) == 2
    assert (
        f"database {file} is another program's, not Optuna's: it has the tables mine; name" in capsys.readouterr().err
    )
    assert file.read_bytes() == before


@pytest.mark.parametrize("table", ["mine (a)", "studies (a)", "alembic_version (version_num)", "experiments (a)"])
def test_another_programs_database_is_refused_and_stays_as_it_is(tmp_path, capsys, table) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute(f"CREATE TABLE {table}")
    before = file.read_bytes()
    for option, program in (("--storage", "Optuna"), ("--tracking-uri", "MLflow")):
        assert sweep(["--home", str(tmp_path / "home"), option, f"sqlite:///{file}", "--dry-run"]) == 2
        assert f"database {file} is another program's, not {program}'s" in capsys.readouterr().err
    assert report(["--storage", f"sqlite:///{file}"]) == 2
    assert file.read_bytes() == before


def test_a_folder_in_the_place_of_a_database_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="is not a file"):
        check_sqlite(f"sqlite:///{tmp_path}", "Optuna")


def test_a_database_in_a_folder_that_is_not_there_is_refused_before_anything_starts(tmp_path, capsys) -> None:
    home, missing = tmp_path / "home", tmp_path / "nodir"
    assert sweep(["--home", str(home), "--storage", f"sqlite:///{missing}/x.db", "--dry-run"]) == 2
    assert f"error: no folder for the database {missing}/x.db: make {missing} first" in capsys.readouterr().err
    assert not missing.exists()
    assert sweep(["--home", str(home), "--storage", f"sqlite:///{home}/x.db", "--dry-run"]) == 0, "HOME is made"


def test_an_address_of_a_tracking_server_without_a_host_is_refused_before_anything_starts(tmp_path, capsys) -> None:
    assert sweep(["--home", str(tmp_path), "--tracking-uri", "http://", "--dry-run"]) == 2
    assert "error: a tracking server's address is like http://HOST:PORT, got 'http://'" in capsys.readouterr().err


def test_a_home_that_is_a_link_to_itself_is_refused(tmp_path, capsys) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert sweep(["--home", str(tmp_path / "loop"), "--dry-run"]) == 2
    assert "error: home folder cannot be made: " in capsys.readouterr().err
