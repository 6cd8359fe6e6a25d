"""What a sweep begins with: a recipe, the weights of a file, the files of a data set."""

import io
import os
import shlex
import signal
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
import tyro
from rich.console import Console
from safetensors.torch import save_file

from engine.errors import InputError
from engine.models import build_model
from engine.orchestration import run_sweep
from engine.orchestration.options import SweepOptions, sweep_command
from engine.orchestration.preparation import prepare
from engine.orchestration.search.stored_studies import open_study
from engine.orchestration.sweep import Sweep
from engine.orchestration.sweep_words import opening_notes, overruled
from engine.store import StoreFaultError
from engine.training import recipe_settings
from pipelines.sweep import command_line
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.small_study import RESULTS


def prepared(tmp_path: Path, **options):
    return prepare(SweepOptions(**{"home": tmp_path / "home", "n_trials": 4, **options}), SPACE)


def save_weights(path: Path, width: int = 2) -> Path:
    torch.manual_seed(0)
    save_file(build_model("resnet-8", num_classes=10, in_channels=1, image_size=16, width=width).state_dict(), path)
    return path


def test_a_recipe_changes_the_base_and_what_is_set_comes_on_top(tmp_path: Path) -> None:
    base = prepared(tmp_path, recipe="lenet", settings=("pretrain.epochs=3",)).space.base.flat()
    expected = recipe_settings("lenet")
    assert base["pretrain.epochs"] == 3
    assert all(base[path] == value for path, value in expected.items() if path != "pretrain.epochs")
    assert base["model.width"] == SPACE.base.model.width
    assert prepared(tmp_path, recipe="lenet").study_name != prepared(tmp_path).study_name


def test_the_threads_of_a_slot_are_in_the_keys_of_a_sweep_on_cpus(tmp_path: Path) -> None:
    one, config = prepared(tmp_path), SPACE.config({}, seed=0)
    two = replace(one, options=replace(one.options, cpus_per_slot=2), _plans={})
    assert all(spec.numerics == {"device": "cpu", "threads": 1} for spec in one.plan(config))
    assert {spec.numerics["threads"] for spec in two.plan(config)} == {2}
    assert one.plan(config).identity != two.plan(config).identity
    assert one.identity(config) == two.identity(config), "a study goes on with other threads, as on another machine"


def test_a_sweep_s_command_asks_for_the_same(tmp_path: Path, monkeypatch) -> None:
    options = SweepOptions(
        space="push-pull",
        home=tmp_path / "a b",
        settings=("pretrain.epochs=3", "evaluate.corruptions=fog,snow"),
        imports=("mine",),
        retry_failed=True,
        n_trials=7,
        storage="postgresql://me:secret@host/db",
    )
    words = shlex.split(sweep_command(options))
    assert words[:5] == ["python", "-m", "pipelines.sweep", "--space", "push-pull"]
    assert "secret" not in " ".join(words)
    found = tyro.cli(SweepOptions, args=words[3:])
    assert replace(found, storage=options.storage) == options
    monkeypatch.setenv("ROBUSTUNE_HOME", str(tmp_path))
    assert ["--home", str(tmp_path)] == shlex.split(sweep_command(SweepOptions()))[5:7]
    monkeypatch.delenv("ROBUSTUNE_HOME")
    assert shlex.split(sweep_command(SweepOptions()))[5:] == []


def test_a_base_that_axes_or_arms_take_no_notice_of_is_told(tmp_path: Path) -> None:
    space = prepare(SweepOptions(home=tmp_path, settings=("finetune.which=none", "pretrain.epochs=2"))).space
    notes = opening_notes(
        prepare(SweepOptions(home=tmp_path, settings=("finetune.which=none", "distortion.n_images=30")))
    )
    assert {note for note in notes if note.startswith("--set")} == {
        "--set finetune.which is for the rest alone: axis 'finetune.which' gives proposals values of its own and "
        "3 of 3 arms have their own",
        "--set distortion.n_images is for the rest alone: axis 'distortion.n_images' gives proposals values of its own "
        "where it applies",
    }
    assert space.base.pretrain.epochs == 2
    assert not overruled(SweepOptions(settings=("pretrain.epochs=2",)), space)


def test_a_baseline_of_other_images_is_told_before_anything_runs(tmp_path: Path) -> None:
    options = {"baseline": "alexnet-paper", "dataset": "digits"}
    notes = opening_notes(prepare(SweepOptions(home=tmp_path, **options)))
    assert any(note.startswith("baseline alexnet-paper was measured on CIFAR-10-C, these errors on") for note in notes)


def test_weights_take_the_place_of_pretraining_in_every_trial(tmp_path: Path) -> None:
    sweep = prepared(tmp_path, init=save_weights(tmp_path / "weights.safetensors"))
    key = sweep.space.base.model.weights
    assert key is not None
    assert sweep.store.find(key) is not None
    assert sweep.given_keys == [sweep.info.raw_key, key]
    for trial in sweep.planned.arms():
        plan = sweep.plan(sweep.space.config(trial.settings or {}, seed=trial.seed))
        assert [spec.stage for spec in plan] == ["init", "evaluate"]
    assert any("start from the weights of weights.safetensors" in note for note in opening_notes(sweep))
    assert prepared(tmp_path).given_keys == [sweep.info.raw_key]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--recipe", "resnt"), "unknown recipe 'resnt' (did you mean 'resnet'?)"),
        (("--init", "none.pth.tar"), "there is no checkpoint file none.pth.tar"),
        (
            ("--init", "wide.safetensors"),
            "weights in wide.safetensors for a network resnet-8 do not fit: conv1.w",
        ),
        (
            ("--dataset", "cifar10:nowhere"),
            "data set 'cifar10' needs files that are not in nowhere: cifar-10-bat",
        ),
        (("--download",), "data set 'digits' is not one that can be downloaded"),
    ],
)
def test_what_a_sweep_cannot_begin_with(capsys, tmp_path: Path, monkeypatch, arguments, sentence) -> None:
    monkeypatch.chdir(tmp_path)
    save_weights(Path("wide.safetensors"), width=8)
    assert command_line(["--home", "home", *arguments]) == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1
    assert not Path("home/optuna.db").exists()


def test_the_list_names_the_recipes(capsys) -> None:
    assert command_line(["--list"]) == 0
    output = capsys.readouterr().out
    assert all(name in output for name in ("lenet", "densenet", "alexnet", "adam", "fast"))


def test_a_store_that_refuses_in_the_end_leaves_the_answer(tmp_path: Path, monkeypatch) -> None:
    def refuse(_: Sweep, *__: object) -> None:
        raise StoreFaultError("the store failed while removing a mark: the service answers 503")

    monkeypatch.setattr(Sweep, "_run_trials", refuse)
    console = Console(file=io.StringIO(), width=200)
    sweep = Sweep(prepared(tmp_path), console)
    assert sweep.run().trials == ()
    said = "stopped: the store failed while removing a mark: the service answers 503; 0 of 4 trials are done"
    assert said in console.file.getvalue()


def test_who_is_told_to_end_while_ray_is_being_started_gives_the_answer_so_far(tmp_path: Path, monkeypatch) -> None:
    def starting(_: Sweep, *__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr(Sweep, "_run_trials", starting)
    console = Console(file=io.StringIO(), width=200)
    sweep = Sweep(prepared(tmp_path), console)
    assert sweep.run().trials == ()
    assert not sweep.complete
    assert "stopped early: 0 of 4 trials are done; the same command goes on from here" in console.file.getvalue()


def test_who_interrupts_as_the_last_trial_ends_is_told_that_all_are_done(tmp_path: Path, monkeypatch) -> None:
    console = Console(file=io.StringIO(), width=200)
    sweep = Sweep(prepared(tmp_path, n_trials=2), console)
    names = [trial.name for trial in sweep.prepared.planned.left(set())]
    found = replace(RESULTS, trials=tuple(replace(RESULTS.trials[0], slot=name) for name in names))
    monkeypatch.setattr(sweep, "_run_study", lambda: None)
    monkeypatch.setattr(sweep, "_results", lambda: found)
    monkeypatch.setattr(sweep._answer, "show", lambda _: None)
    sweep.run()
    assert console.file.getvalue().strip() == "interrupted, but all 2 trials are done"


def test_a_sweep_that_no_cluster_takes_leaves_no_study_and_takes_none_away(tmp_path: Path) -> None:
    options = {"home": tmp_path, "n_trials": 4, "ray_address": "no-address"}
    with pytest.raises(InputError, match="no Ray cluster answers at 'no-address'"):
        run_sweep(SPACE, study="refused", **options)
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    assert optuna.get_all_study_names(storage) == []
    planned = prepare(SweepOptions(**options), SPACE).planned
    open_study(planned.space, planned.study_seed, storage=storage, name="begun").ask()
    with pytest.raises(InputError, match="no Ray cluster answers at 'no-address'"):
        run_sweep(SPACE, study="begun", **options)
    assert optuna.get_all_study_names(storage) == ["begun"]
