"""What a person names is shown as it is, in every command."""

from pipelines import corrupt, store, trial
from tests.engine.report.test_terminal import SHAPE, STYLE


def test_commands_show_paths_and_names_as_they_are(tmp_path, capsys):
    folder = tmp_path / SHAPE
    folder.mkdir()
    given = ["--home", str(folder / "home"), "--set", "data.n_test=12"]
    grid = ["--grid", str(folder / "grid[bold].png"), "--corruptions", "contrast", "--table", "digits"]
    assert corrupt.command_line([*given, "--output", str(folder / STYLE.replace("/", "")), *grid]) == 0
    printed = capsys.readouterr().out
    assert f"{SHAPE}/{STYLE.replace('/', '')}\n" in printed
    assert f"wrote {folder}/grid[bold].png\n" in printed
    tiny = ["data.n_train=60", "data.n_validation=20", "model.width=4", "pretrain.epochs=1", "evaluate.severities=[5]"]
    assert trial.command_line([*given, *tiny, "--errors", str(folder / ":cat:.csv")]) == 0
    printed = capsys.readouterr().out
    assert f"wrote {folder}/:cat:.csv\n" in printed
    assert f"artifacts in {folder}/home/store\n" in printed
    assert store.command_line(["list", f"--{STYLE}"]) == 2
    assert STYLE in capsys.readouterr().err
    assert store.command_line(["list", "--home", str(folder / "home")]) == 0
    assert "3 artifacts" in capsys.readouterr().out
