import re

import pytest
from PIL import Image

from pipelines.disparity import command_line
from tests.pipelines.test_rankings import TINY

SETTINGS = (*TINY, "distortion.level=80", "finetune.training.epochs=2", "finetune.training.learning_rate=0.05")


@pytest.fixture
def disparity(tmp_path, capsys, monkeypatch):
    """Return a function that runs the command with a home of its own: (exit code, what it printed, its errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = command_line(["--set", *SETTINGS, *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def mean_sums(printed: str) -> dict[tuple[str, str], float]:
    """Return {(layer, network): mean sum} of the printed table."""
    found = re.findall(r"│ (conv\d) +│ (\w+) +│ ([\d.]+) \[", printed)
    return {(layer, network): float(value) for layer, network, value in found}


def test_disparity_prints_sums_beside_the_baseline_s_and_writes_a_figure(disparity, tmp_path):
    code, printed, errors = disparity("--which", "all", "most")
    assert (code, errors) == (0, "")
    sums = mean_sums(printed)
    assert set(sums) == {(layer, name) for layer in ("conv1", "conv2") for name in ("baseline", "all", "most")}
    assert len({sums["conv1", name] for name in ("baseline", "all", "most")}) == 3  # tuning changes them
    assert 0 < sums["conv1", "baseline"] <= 8 * 16 * 16
    assert 0 < sums["conv2", "baseline"] <= 8 * 8 * 8
    assert re.findall(r"^(pretrain|finetune) .*\((.*)\)$", printed, re.MULTILINE) == [
        ("pretrain", "seed 0"),
        ("finetune", "all tuned, seed 0"),
        ("finetune", "most tuned, seed 0"),
    ], "each line says whose network it is of"
    assert "mean over 30 test images, 95 % interval over 30 images" in printed
    assert sum(count > 0 for count in Image.open(tmp_path / "disparity.png").convert("L").histogram()) > 50


def test_intervals_are_over_seeds_where_there_are_several(disparity):
    code, printed, _ = disparity("--which", "random", "--n-seeds", "2", "--n-images", "10")
    assert code == 0
    assert "mean over 10 test images, 95 % interval over 2 seeds" in printed
    assert len(mean_sums(printed)) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--which", "none"), "unknown choice of filters 'none'"),
        (("--image", "30"), "`--image` must be from 0 to 29, got 30"),
        (("--n-images", "1"), "`--n-images` must be ≥ 2, got 1"),
        (("--output", "nowhere/x.png"), "the figure's folder does not exist: nowhere"),
        (("--n-seeds", "0"), "`--n-seeds` must be ≥ 1, got 0"),
        (("finetune.method=tent",), "choices of filters are compared: `finetune.method` must be filters or correction"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(disparity, arguments, message):
    code, printed, errors = disparity(*arguments)
    assert (code, printed) == (2, "")  # nothing was trained
    assert errors.startswith("error: ")
    assert message in errors


def test_correction_units_are_compared_too(disparity):
    code, printed, errors = disparity("finetune.method=correction", "--which", "most", "--n-images", "10")
    assert (code, errors) == (0, "")
    assert {name for _, name in mean_sums(printed)} == {"baseline", "most"}
