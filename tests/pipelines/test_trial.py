import re

import pytest
import torch

from engine.settings import TrialConfig
from pipelines._command_line import ComputeOptions, n_cores
from pipelines.trial import command_line, without_effect

TINY = (
    "data.n_train=100",
    "data.n_validation=60",
    "data.n_test=60",
    "model.width=4",
    "pretrain.epochs=1",
    "finetune.training.epochs=1",
    "distortion.n_images=20",
    "evaluate.severities=[1,5]",
)

MODEL = """
from torch import nn
from engine import register_model

@register_model("my-tiny-model")
def build(*, num_classes, in_channels, image_size, width):
    n_values = 3 * (image_size - 2) ** 2
    return nn.Sequential(nn.Conv2d(in_channels, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(n_values, num_classes))
"""


@pytest.fixture
def trial(tmp_path, capsys):
    """Return a function that runs a trial with a home of its own: (exit code, what it printed, its errors)."""

    def run(*arguments: str, settings: tuple[str, ...] = ()) -> tuple[int, str, str]:
        given = {setting.partition("=")[0] for setting in settings}
        others = [setting for setting in TINY if setting.partition("=")[0] not in given]
        code = command_line(["--home", str(tmp_path / "runs"), "--set", *others, *settings, *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def stage_lines(printed: str) -> dict[str, str]:
    lines = re.findall(r"^(?:pretrain|rank|finetune|evaluate) +[0-9a-f]{8} .*$", printed, re.MULTILINE)
    return {line.split()[0]: line for line in lines}


def test_a_trial_prints_its_stages_times_and_errors_and_finds_them_again(trial, tmp_path):
    code, printed, errors = trial(settings=("push_pull.where=first", "finetune.which=most"))
    assert (code, errors) == (0, "")
    assert "digits: 100 training, 60 validation and 60 test images of 1×16×16, 10 classes" in printed
    lines = stage_lines(printed)
    assert list(lines) == ["pretrain", "rank", "finetune", "evaluate"]
    for line in lines.values():
        assert line.split()[3] == "s"
        assert float(line.split()[2]) >= 0
    assert "1 epochs, best 1: validation error" in lines["pretrain"]
    assert "1 epochs, best 1: held-out error" in lines["finetune"]
    assert lines["finetune"].endswith("; 20 labelled noisy images (16 trained on, 4 held out to select the epoch)")
    table = printed[printed.index("test error in %") :]
    for name in ("gaussian_noise", "shot_noise", "gaussian_blur", "contrast"):
        (row,) = [line for line in table.splitlines() if line.startswith(f"│ {name}")]
        first, second, mean, ece, nll, brier = (float(cell) for cell in row.strip("│").split("│")[1:])
        assert min(ece, nll, brier) >= 0
        assert mean == pytest.approx((first + second) / 2, abs=0.11)
    said = "mean error on 60 validation images under gaussian_noise and shot_noise, severities 1 and 5"
    assert re.search(f"^objective [0-9.]+%: {said}$", table, re.MULTILINE)
    assert (tmp_path / "runs" / "store" / "artifacts").is_dir()

    code, again, _ = trial(settings=("push_pull.where=first", "finetune.which=most"))
    assert code == 0
    assert all("from the store" in line for line in stage_lines(again).values())
    assert again[again.index("test error in %") : again.index("done in")] == table[: table.index("done in")]


def test_a_trial_says_which_part_was_tuned_and_that_no_label_was_read(trial):
    short = ("evaluate.corruptions=contrast", "evaluate.objective=contrast")
    block = ("finetune.which=most", "finetune.unit=block", "finetune.count=1", "rank.by=gradient")
    code, printed, _ = trial(settings=(*short, *block))
    assert code == 0
    assert re.search(r"held out to select the epoch\); tuned: (layer\d|fc)$", stage_lines(printed)["finetune"])
    code, printed, _ = trial(settings=(*short, "finetune.which=all", "finetune.method=tent"))
    assert code == 0
    line = stage_lines(printed)["finetune"]
    assert "best 1: validation error" in line
    assert line.endswith("; 0 labelled noisy images (20 without labels adapted to)")


def test_a_trial_s_errors_are_another_s_baseline(trial, tmp_path):
    path = tmp_path / "errors.csv"
    code, printed, errors = trial("--errors", str(path))
    assert (code, errors) == (0, "")
    assert f"wrote {path}" in printed
    assert path.read_text().startswith("corruption,severity,error,ece,nll,brier\n,0,0.")
    code, printed, errors = trial("--baseline", str(path))
    assert (code, errors) == (0, "")
    assert "mCE 100.0" in printed
    rows = [line for line in printed[printed.index("test error in %") :].splitlines() if re.match("│ .*_noise", line)]
    assert len(rows) >= 2
    assert all("100.0" in row for row in rows)


def test_a_space_s_arm_can_be_run_and_settings_come_on_top(trial):
    code, printed, _ = trial("--space", "push-pull", "--arm", "placebo", "--seed", "3")
    assert code == 0
    other_code, other, _ = trial(settings=("seed=3", "push_pull.where=first", "push_pull.h=1.0"))
    assert other_code == 0
    keys = {name: line.split()[1] for name, line in stage_lines(printed).items()}
    assert keys == {name: line.split()[1] for name, line in stage_lines(other).items()}
    _, plain, _ = trial("--space", "push-pull", "--arm", "plain", "--seed", "3")
    assert stage_lines(plain)["pretrain"].split()[1] != keys["pretrain"]


def test_the_store_can_lie_elsewhere(trial, tmp_path):
    code, printed, _ = trial("--store", str(tmp_path / "elsewhere"))
    assert code == 0
    assert "elsewhere" in printed
    assert (tmp_path / "elsewhere" / "artifacts").is_dir()
    assert not (tmp_path / "runs").exists()


def test_a_user_s_module_is_imported(trial, tmp_path, monkeypatch):
    (tmp_path / "my_tiny_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    code, printed, errors = trial("--import", "my_tiny_model", settings=("model.name=my-tiny-model",))
    assert (code, errors) == (0, "")
    assert "my-tiny-model on" in printed


def test_a_single_command_computes_on_all_cores_unless_told(monkeypatch):
    monkeypatch.setattr("pipelines._command_line.n_cores", lambda: 3)
    ComputeOptions().set_up()
    assert torch.get_num_threads() == 3
    ComputeOptions(threads=2).set_up()
    assert torch.get_num_threads() == 2
    assert n_cores() >= 1


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((), ("push_pull.hh=2",), "unknown setting 'push_pull.hh' (did you mean 'push_pull.h'?)"),
        ((), ("push_pull.h=0.5",), "`push_pull.h` must be finite and ≥ 1, got 0.5"),
        ((), ("push_pull.h",), "a setting is given as PATH=VALUE, got 'push_pull.h'"),
        ((), ("pretrain.epochs=two",), "`pretrain.epochs` must be a whole number ≥ 1, got 'two' (passes over"),
        ((), ("model.name=resnt-8",), "unknown model 'resnt-8' (did you mean 'resnet-8'?)"),
        (("--dataset", "digit"), (), "unknown data set 'digit' (did you mean 'digits'?)"),
        (("--dataset", "folder:/nowhere/at/all"), (), "data folder does not exist: /nowhere/at/all"),
        (("--space", "push-pul"), (), "unknown search space 'push-pul' (did you mean 'push-pull'?)"),
        (("--space", "push-pull", "--arm", "placbo"), (), "space 'push-pull': unknown arm 'placbo'"),
        (("--arm", "placebo"), (), "`--arm placebo` needs the --space that it is an arm of"),
        (("--import", "no_such_module"), (), "module to import does not exist: 'no_such_module'"),
        (("--baseline", "alexnet"), (), "unknown baseline (or a .csv or .json file of errors) 'alexnet'"),
        (("--baseline", "alexnet-paper"), (), "baseline alexnet-paper is over the severities 1, 2, 3, 4, 5, not"),
        (("--errors", "/nowhere/errors.csv"), (), "the table's folder does not exist: /nowhere"),
        (("--errors", "errors.txt"), (), "`--errors` must end in .csv, as a baseline does, got errors.txt"),
        (("--device", "tpu"), (), "unknown device on this machine 'tpu'"),
        (("--threads", "0"), (), "`--threads` must be ≥ 1, got 0"),
        (("--seed", "-1"), (), "`seed` must be in [0, 2**63), got -1"),
        (("--store", "/dev/null/store"), (), "store cannot be written: /dev/null/store"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(trial, arguments, settings, message):
    code, printed, errors = trial(*arguments, settings=settings)
    assert code == 2
    assert printed == ""
    assert errors.startswith(f"error: {message}")
    assert errors.count("\n") == 1


def test_a_training_that_diverges_ends_in_a_sentence(trial):
    diverging = ("pretrain.optimizer=sgd", "pretrain.schedule=constant", "pretrain.learning_rate=1e30")
    code, _, errors = trial(settings=diverging)
    assert code == 1
    assert re.fullmatch(r"error: loss became \S+ in epoch 1 at learning rate 1e\+30\n", errors)


def test_settings_without_effect_are_told():
    given = {"finetune.which": "all", "finetune.method": "network", "finetune.rates": "gradient", "push_pull.h": 3}
    whole = without_effect(given, TrialConfig().with_settings(given))
    assert whole == [
        "without effect: finetune.rates, unless `finetune.method` is filters",
        "without effect: push_pull.h, unless `push_pull.where` is not none",
    ]
    parts = {**given, "finetune.method": "filters", "push_pull.where": "first"}
    assert without_effect(parts, TrialConfig().with_settings(parts)) == []
