import pytest

from pipelines.responses import command_line

TINY = ("data.n_train=60", "data.n_validation=30", "data.n_test=30", "model.name=lenet-d", "pretrain.epochs=1")


@pytest.fixture
def responses(tmp_path, capsys):
    """Return a function that runs the command with a home of its own: (exit code, what it printed, its errors)."""

    def run(*arguments: str, settings: tuple[str, ...] = TINY) -> tuple[int, str, str]:
        code = command_line(["--home", str(tmp_path / "runs"), "--set", *settings, *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_responses_writes_a_figure_and_prints_how_stable_they_are(responses, tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    output = tmp_path / "figure.png"
    code, printed, errors = responses("--levels", "0.01", "0.2", "--n-images", "20", "--output", str(output))
    assert (code, errors) == (0, "")
    rows = [line for line in printed.splitlines() if line.startswith(("│ 0.01", "│ 0.2"))]
    assert len(rows) == 2
    pictures = image_module.open(output)
    assert pictures.size[0] > 300
    assert sum(count > 0 for count in pictures.convert("L").histogram()) > 50
    again = responses("--levels", "0.01", "0.2", "--n-images", "20", "--output", str(output))
    assert "from the store" in again[1]
    assert [line for line in again[1].splitlines() if line.startswith(("│ 0.01", "│ 0.2"))] == rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output", "/proc/nowhere/x.png"), "the figure's folder does not exist: /proc/nowhere"),
        (("--n-images", "0"), "`--n-images` must be ≥ 1, got 0"),
        (("--image", "30"), "`--image` must be from 0 to 29, got 30"),
        (("--output", "x.bmpp"), "the figure cannot be written: x.bmpp"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(responses, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, errors = responses(*arguments)
    assert code == 2
    assert errors.startswith("error: ")
    assert message in errors
