"""The network to take home, of a study and a store that a sweep has made."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import optuna
import pytest
import torch

from engine import load_exported
from engine.data import load_dataset
from engine.errors import InputError
from engine.metrics import classification_error
from engine.orchestration import export as export_here
from engine.orchestration import load_results
from engine.orchestration.search.driver_lease import DRIVER
from engine.report.commands import export_command, typed
from engine.report.results import Results
from engine.store import open_store
from engine.store.holders import Holder
from pipelines.export import command_line
from tests.documents import ROOT, blocks
from tests.engine.orchestration.spaces import SPACE
from tests.pipelines.swept import sweep_here
from tests.s3 import S3, set_variables

THREE_SEEDS = dataclasses.replace(SPACE, n_seeds=3)
N_TRIALS = 12
"""Two arms on three seeds, three proposals, and the best one on the arms' seeds."""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Return the folder of a sweep that has ended ("tiny"), one without repeats ("begun"), and one that failed."""
    folder = tmp_path_factory.mktemp("runs")
    sweep_here(THREE_SEEDS, home=folder, study="tiny", n_trials=N_TRIALS)
    sweep_here(
        THREE_SEEDS,
        home=folder,
        study="begun",
        n_trials=N_TRIALS,
        fails=lambda slot: slot.startswith(("winner", "arm/plain")) or slot == "arm/push-pull/0",
    )
    sweep_here(THREE_SEEDS, home=folder, study="failed", n_trials=N_TRIALS, fails=lambda slot: True)
    sweep_here(
        THREE_SEEDS, home=folder, study="arms", n_trials=N_TRIALS, fails=lambda slot: slot.startswith("proposal")
    )
    return folder


@pytest.fixture
def export(home, tmp_path, capsys):
    """Return a function that runs the command on a study: (exit code, what it printed, its errors)."""

    def run(*arguments: str, study: str = "tiny", output: Path = tmp_path / "network") -> tuple[int, str, str]:
        words = ["--home", str(home), "--study", study, "--output", str(output), *arguments]
        code = command_line(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def winner(home, tmp_path_factory) -> Path:
    """Return the folder of the winner's network, in all formats."""
    folder = tmp_path_factory.mktemp("winner") / "exported"
    assert command_line(["--home", str(home), "--study", "tiny", "--output", str(folder)]) == 0
    return folder


def config_of(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def median(results: Results, group: str):
    """Return the trial in the middle of a group of three, by validation images."""
    (trials,) = [found.trials for found in results.groups() if found.name == group]
    return sorted(trials, key=lambda trial: trial.objective)[1]


def test_the_command_that_is_printed_can_be_typed_whatever_the_folder_is_called(export, tmp_path):
    code, printed, _ = export("--formats", "safetensors", output=tmp_path / "my network's")
    assert code == 0
    (_, command) = printed.strip().rsplit("; try it: ", 1)
    assert shlex.split(command) == [typed("python"), str(tmp_path / "my network's" / "example.py")]


def test_the_winner_comes_home_with_all_that_is_known_of_it(export, home, tmp_path):
    code, printed, errors = export()
    assert (code, errors) == (0, "")
    trial = median(load_results("tiny", home=home), "winner")
    folder = tmp_path / "network"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["config.json", "example.py", "model.onnx", "model.pt2", "model.safetensors"]
    assert (
        f"study tiny, trial {trial.number}, seed {trial.seed}: the median of 3 repeats of the best proposal" in printed
    )
    assert f"{trial.objective:.2%}" in printed
    assert "the same bits" in printed
    assert f"try it: {typed('python')} {folder / 'example.py'}" in printed
    config = config_of(folder)
    assert config["errors"] == trial.errors
    assert config["classes"] == [str(digit) for digit in range(10)]
    assert config["origin"]["trial"] == trial.number
    assert (config["origin"]["study"], config["origin"]["space"], config["origin"]["seed"]) == (
        "tiny",
        "tiny",
        trial.seed,
    )
    assert config["origin"]["settings"] == trial.settings
    assert config["origin"]["stages"] == trial.stages
    assert config["origin"]["made_with"]["torch"] == torch.__version__
    assert config["input"]["shape"] == ["n", 1, 16, 16]
    assert config["network"]["name"] == "resnet-8"


def test_in_python_it_says_the_same_and_replaces_what_was_exported_before(home, tmp_path):
    folder = tmp_path / "network"
    trial = median(load_results("tiny", home=home), "winner")
    found = export_here(load_results("tiny", home=home), folder, home=home, formats=["safetensors"])
    assert repr(found).endswith(f"model.safetensors; study 'tiny', trial {trial.number}, seed {trial.seed})")
    assert "the same bits" in found._repr_html_()
    again = {"what": "arm:plain", "home": home, "formats": ["safetensors"]}
    with pytest.raises(InputError, match="must be a new or an empty one"):
        export_here("tiny", folder, **again)
    with pytest.raises(InputError, match="unknown arm 'plane'"):
        export_here("tiny", folder, **again | {"what": "arm:plane"}, replace=True)
    assert config_of(folder)["origin"]["group"] == "winner"
    export_here("tiny", folder, **again, replace=True)
    assert config_of(folder)["origin"]["group"] == "plain"
    (folder / "notes.txt").touch()
    with pytest.raises(InputError, match=r"other files as well: notes.txt"):
        export_here("tiny", folder, **again, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["network"]


def test_its_errors_are_those_that_the_study_has(export, home, tmp_path):
    """Measured anew, on the data set itself, in each format."""
    assert export("--what", "arm:push-pull")[0] == 0
    trial = median(load_results("tiny", home=home), "push-pull")
    config = config_of(tmp_path / "network")
    data = load_dataset(SPACE.base.data)
    network = load_exported(tmp_path / "network")
    assert (
        classification_error(network, data.test) == trial.errors["test"]["clean"] == config["errors"]["test"]["clean"]
    )
    images = data.test.images.float() / 255
    normalisation = config["input"]["normalisation"]
    pixels = data.train.images.float() / 255
    assert normalisation["mean"] == pytest.approx([float(pixels.mean())], rel=1e-5)
    assert normalisation["std"] == pytest.approx([float(pixels.std())], rel=1e-5)
    session = onnxruntime.InferenceSession(tmp_path / "network" / "model.onnx", providers=["CPUExecutionProvider"])
    program = torch.export.load(tmp_path / "network" / "model.pt2").module()
    for logits in (program(images), torch.from_numpy(session.run(None, {"images": images.numpy()})[0])):
        wrong = (logits.argmax(1) != data.test.labels).float().mean()
        assert float(wrong) == trial.errors["test"]["clean"]
    assert config["push_pull"] == {"conv1": {"h": 2.0, "pull_kernel_size": [7, 7], "alpha": 1.0, "learn_alpha": None}}
    assert config["network"]["push_pull"]["h"] == 2.0
    assert config["tuned"] == []


def test_what_was_tuned_is_told(export, home, tmp_path):
    results = load_results("tiny", home=home)
    tuned = next(trial for trial in results.trials if "finetune" in trial.stages and trial.group == "")
    code, printed, errors = export("--what", f"trial:{tuned.number}", "--formats", "safetensors")
    assert (code, errors) == (0, "")
    assert f"trial {tuned.number}, seed {tuned.seed}: as asked for" in printed
    assert sorted(path.name for path in (tmp_path / "network").iterdir()) == [
        "config.json",
        "example.py",
        "model.safetensors",
    ]
    (stage,) = config_of(tmp_path / "network")["tuned"]
    assert stage["stage"] == "finetune"
    assert stage["settings"]["distortion"]["name"] == SPACE.base.distortion.name
    assert stage["filters"]
    for layer, filters in stage["filters"].items():
        assert sorted(stage["changed"][f"{layer}.weight"]) == sorted(filters)
    data = load_dataset(SPACE.base.data)
    assert classification_error(load_exported(tmp_path / "network"), data.test) == tuned.errors["test"]["clean"]


def test_the_examples_of_the_page_run(winner):
    scripts = [block.text for block in blocks("python") if block.document.name == "export.md"]
    assert len(scripts) == 3
    for script in scripts:
        assert len(list(filter(None, script.splitlines()))) <= 5
    ran = "\n".join(script for script in scripts)  # one process: importing torch takes seconds
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ran], cwd=winner.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tensor([[") == 2
    assert "array([[" in done.stdout


def test_the_command_that_a_sweep_ends_with_is_this_one(home, tmp_path, monkeypatch, capsys):
    results = load_results("tiny", home=home)
    words = shlex.split(export_command(results, home, storage=f"sqlite:///{home}/optuna.db", store=home / "store"))
    assert words[1:3] == ["-m", "pipelines.export"]
    monkeypatch.chdir(tmp_path)
    assert command_line([*words[3:], "--formats", "safetensors"]) == 0
    assert (tmp_path / "tiny-network" / "config.json").exists()
    assert shlex.split(export_command(results, home, storage=None, store=None))[3:] == [
        *("--home", str(home), "--study", "tiny", "--output", "tiny-network")
    ]
    assert export_command(load_results("arms", home=home), home, storage=None, store=None) == ""


def test_without_repeats_the_best_proposal_goes_and_it_says_so(export, home, tmp_path):
    code, printed, errors = export("--formats", "safetensors", study="begun")
    assert (code, errors) == (0, "")
    best = load_results("begun", home=home).best()
    assert "study 'begun' has no repeats of its best proposal: this is the proposal itself" in printed
    assert f"trial {best.number}, seed {best.seed}: the best proposal" in printed
    assert config_of(tmp_path / "network")["origin"]["trial"] == best.number


def test_of_an_even_number_of_seeds_the_better_one_in_the_middle_goes(export, home, tmp_path):
    code, printed, _ = export("--what", "arm:push-pull", "--formats", "safetensors", study="begun")
    assert code == 0
    (group,) = [group for group in load_results("begun", home=home).groups() if group.name == "push-pull"]
    better = min(group.trials, key=lambda trial: trial.objective)
    assert "the median of the 2 complete of 3 seeds of arm 'push-pull'" in printed
    assert config_of(tmp_path / "network")["origin"]["trial"] == better.number


def test_nothing_in_study_or_store_changes(export, home):
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert export("--formats", "safetensors")[0] == 0
    after = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert {path for path in after.keys() ^ before.keys() if not path.name.startswith("optuna.db-")} == set()
    assert [path for path in before if after.get(path, before[path]) != before[path]] == []


def test_a_study_that_is_being_run_says_so(export, home, tmp_path):
    study = optuna.load_study(study_name="tiny", storage=f"sqlite:///{home}/optuna.db")
    holder = Holder.this_process()
    study.set_user_attr(DRIVER, {"holder": dataclasses.asdict(holder), "beat": holder.since})
    try:
        code, printed, _ = export("--formats", "safetensors")
    finally:
        study.set_user_attr(DRIVER, None)
    assert code == 0
    assert "study 'tiny' is still running: what its winner or a median is may change" in printed


def test_a_store_in_a_bucket_gives_it_too(export, home, tmp_path, monkeypatch):
    s3 = S3()
    set_variables(monkeypatch, s3.url, tmp_path / "cache")
    there = open_store(s3.address)
    here = open_store(home / "store", read_only=True)
    for key in list(here.keys()):
        artifact = here.look_at(key)
        with there.attempt(key) as attempt:
            for name in artifact.manifest["files"]:
                shutil.copy(artifact.path_of(name), attempt.folder / name)
            there.publish(
                attempt,
                {
                    name: artifact.manifest[name]
                    for name in ("spec", "history", "environment")
                    if name in artifact.manifest
                },
            )
    assert export("--formats", "safetensors", "--store", s3.address)[0] == 0
    shutil.move(tmp_path / "network", tmp_path / "of_bucket")
    assert export("--formats", "safetensors")[0] == 0
    assert config_of(tmp_path / "of_bucket") == config_of(tmp_path / "network")


def cleaned(home: Path, folder: Path, stage: str, results: Results) -> int:
    """Copy a home without what a stage of the winner's trial has made; return the trial's number."""
    shutil.copytree(home, folder)
    trial = median(results, "winner")
    open_store(folder / "store").remove(trial.stages[stage])
    return trial.number


def test_what_was_cleaned_up_cannot_come_home(export, home, tmp_path):
    number = cleaned(home, tmp_path / "copy", "pretrain", load_results("tiny", home=home))
    code, _, errors = export("--home", str(tmp_path / "copy"))
    assert code == 2
    assert re.fullmatch(
        rf"error: trial {number} of study 'tiny': its pretrain \(\w+\) is not in the store .*: it was cleaned up.*\n",
        errors,
    )
    assert not (tmp_path / "network").exists()


def test_what_is_damaged_cannot_come_home(export, home, tmp_path):
    shutil.copytree(home, tmp_path / "copy")
    trial = median(load_results("tiny", home=home), "winner")
    artifact = open_store(tmp_path / "copy" / "store").look_at(trial.stages["pretrain"])
    (artifact.folder / "model.safetensors").write_bytes(b"torn")
    code, _, errors = export("--home", str(tmp_path / "copy"))
    assert code == 2
    assert f"trial {trial.number} of study 'tiny': its pretrain cannot be used: artifact" in errors
    assert "checksum of model.safetensors differs" in errors


def test_without_the_images_the_classes_have_no_names(export, home, tmp_path):
    shutil.copytree(home, tmp_path / "copy")
    store = open_store(tmp_path / "copy" / "store")
    for key in list(store.keys()):
        if store.look_at(key).manifest["spec"]["stage"] == "data":
            store.remove(key)
    code, printed, _ = export("--home", str(tmp_path / "copy"), "--formats", "safetensors")
    assert code == 0
    assert "the store has no images of digits any more" in printed
    assert config_of(tmp_path / "network")["classes"] is None


@pytest.mark.parametrize(
    ("study", "arguments", "message"),
    [
        ("tinny", (), ": unknown study 'tinny' (did you mean 'tiny'?); known: arms, begun, failed, tiny"),
        ("failed", (), "study 'failed' has no complete trial: there is no network to export"),
        (
            "arms",
            (),
            "study 'arms' has no complete proposal, so no winner; what is exported can be arm:plain, arm:push-pull",
        ),
        ("tiny", ("--what", "arm:plane"), "unknown arm 'plane' (did you mean 'plain'?); known: plain, push-pull"),
        ("begun", ("--what", "arm:plain"), "arm 'plain' of study 'begun' has no complete trial"),
        ("tiny", ("--what", "trial:40"), "study 'tiny' has no ended trial 40; the nearest of 12 complete trials: 4, 5"),
        ("tiny", ("--what", "trial:x"), "a trial is named by its number, such as trial:0, got 'trial:x'"),
        (
            "begun",
            ("--what", "trial:0"),
            "trial 0 of study 'begun' has no errors to go with it (FAIL); the nearest of 5",
        ),
        ("tiny", ("--what", "plain"), "must be winner, arm:NAME or trial:N, got 'plain' (did you mean 'arm:plain'?)"),
        ("tiny", ("--what", "7"), "got '7' (did you mean 'trial:7'?)"),
        ("tiny", ("--what", "best"), "what is exported must be winner, arm:NAME or trial:N, got 'best'\n"),
        (
            "tiny",
            ("--formats", "onnix"),
            "unknown format 'onnix' (did you mean 'onnx'?); known: onnx, pt2, safetensors",
        ),
        ("tiny", ("--formats",), "--formats needs a value, NAME, or several; leave it out for its default"),
        ("tiny", ("--output", "/proc/nowhere/x"), "the folder that /proc/nowhere/x is to be in does not exist"),
        ("tiny", ("--store", "/nowhere/store"), "/nowhere/store"),
        ("tiny", ("--import", "no_such_module"), "module to import does not exist: 'no_such_module'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(export, tmp_path, study, arguments, message):
    code, _, errors = export(*arguments, study=study)
    assert code == 2
    assert errors.startswith("error: ")
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "network").exists()


def test_onnx_that_is_asked_for_and_cannot_be_is_an_error(export, monkeypatch):
    from engine.exporting import export_folder

    monkeypatch.setattr(export_folder, "find_spec", lambda name: None)
    code, _, errors = export("--formats", "onnx")
    assert code == 2
    assert (
        "the format onnx needs onnx and onnxscript, which this environment lacks: pip install 'robustune[onnx]'"
        in errors
    )
    code, printed, _ = export()
    assert code == 0
    assert "left out: the format onnx needs onnx and onnxscript" in printed


def test_a_folder_that_has_files_is_left_alone(export, tmp_path):
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "mine.txt").write_text("mine")
    code, _, errors = export()
    assert code == 2
    assert "must be a new or an empty one, but has files" in errors
    assert [path.name for path in (tmp_path / "network").iterdir()] == ["mine.txt"]
