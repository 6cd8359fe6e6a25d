"""Wrong input: exit code 2 and one sentence, before anything starts."""

import json
from pathlib import Path

import pytest
from PIL import Image

from engine.corruptions import register_distortion
from engine.corruptions.distortions import DISTORTION_REGISTRY
from engine.errors import InputError
from engine.orchestration.options import SweepOptions
from engine.orchestration.search.pruners import parse_pruner
from pipelines.sweep import command_line
from tests.engine.orchestration.spaces import INHIBITED, SPACE
from tests.engine.orchestration.studies import make_sweep_study


def refused(capsys, tmp_path: Path, *arguments: str) -> str:
    assert command_line(["--home", str(tmp_path / "home"), *arguments]) == 2
    output = capsys.readouterr()
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1, "one sentence"
    assert "hunter2" not in output.err
    return output.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--space", "push-pul"), "unknown search space 'push-pul' (did you mean 'push-pull'?)"),
        (("--dataset", "digit"), "unknown data set 'digit' (did you mean 'digits'?)"),
        (
            ("--set", "evaluate.corruptions=gaussian_noise,motionblur", "--dry-run"),
            "severity table 'digits': unknown corruption 'motionblur' (did you mean 'motion_blur'?)",
        ),
        (("--set", "evaluate.objective=contrats"), "'contrats' (did you mean 'contrast'?)"),
        (("--set", "model.name=resnet-9"), "resnet must be 6n + 2"),
        (("--set", "model.name=resmet-8"), "unknown model 'resmet-8' (did you mean 'resnet-8'?)"),
        (("--sampler", "tpee"), "unknown sampler 'tpee' (did you mean 'tpe'?)"),
        (("--pruner", "medien"), "unknown pruner 'medien' (did you mean 'median'?)"),
        (("--pruner", "threshold"), "pruner 'threshold' is given as threshold:BOUND with BOUND in (0, 1)"),
        (("--sampler", "grid"), "a grid needs values, and axis 'finetune.fraction' is continuous (0.1 … 0.5)"),
        (("--objectives", "clean"), "--objectives has each name once and 'corrupted' among them"),
        (("--objectives", "corrupted", "corrupted"), "--objectives has each name once"),
        (("--objectives", "corrupted", "cleen"), "unknown objective 'cleen' (did you mean 'clean'?)"),
        (
            ("--objectives", "corrupted", "clean", "--sampler", "cma-es"),
            "sampler 'cma-es' cannot search over several objectives",
        ),
        (("--baseline", "alexnet"), "unknown baseline (or a .csv or .json file of errors) 'alexnet' (did you mean"),
        (("--baseline", "/nowhere.csv"), "baseline file cannot be read: /nowhere.csv"),
        (("--baseline", "arm:plaim"), "space 'push-pull': unknown arm 'plaim' (did you mean 'plain'?)"),
        (
            ("--baseline", "alexnet-paper", "--set", "evaluate.severities=[1,2]"),
            "baseline alexnet-paper is over the severities 1, 2, 3, 4, 5, not 1, 2",
        ),
        (("--by", "corruptions"), "unknown way to open the tables up (by) 'corruptions' (did you mean 'corruption'?)"),
        (("--storage", ""), "--storage is empty; leave it out for its default"),
        (("--tracking-uri", ""), "--tracking-uri is empty"),
        (("--n-trials", "0"), "--n-trials must be ≥ 1, got 0"),
        (("--slots", "1000"), "1000 slots of 1 core and 0 GPUs do not fit"),
        (("--study", "x" * 200), "--study has letters, digits, '.', '-' and '_', got 'xxx"),
        (("--study", "/etc/x"), "--study has letters, digits, '.', '-' and '_', got '/etc/x'"),
        (("--study", "a\nb"), "--study has letters, digits, '.', '-' and '_', got 'a\\nb'"),
        (("--store-max-gb", "0"), "--store-max-gb must be > 0, got 0.0"),
        (("--store-max-gb", "nan"), "--store-max-gb must be > 0, got nan"),
        (
            ("--store", "s3://key:hunter2@bucket/x"),
            "--store must name no credentials, which belong into the environment, got 's3://…'",
        ),
        (
            ("--store", "s4://bucket/x"),
            "--store must be a folder or one of s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://C",
        ),
        (("--home", "s3://bucket/x"), "--home must be a folder"),
        (
            ("--import", "../../x"),
            "a module to import is given by its name, such as mine or mine.models, got '../../x'",
        ),
        (("--import", ".x"), "a module to import is given by its name"),
        (("--import", ""), "a module to import is given by its name"),
        (("--study", "../x"), "--study has letters, digits, '.', '-' and '_', got '../x'"),
        (("--dataset", "folder:/nowhere"), "data folder does not exist: /nowhere"),
        (("--dataset", "folder"), "data set 'folder' needs a path: folder:PATH"),
        (("--set", "push_pull.h=0.5"), "`push_pull.h` must be finite and ≥ 1, got 0.5"),
        (("--set", "push_pul.h=2"), "unknown setting 'push_pul.h' (did you mean 'push_pull.h'?)"),
        (("--set", "push_pull.h"), "a setting is given as PATH=VALUE, got 'push_pull.h'"),
        (("--set", "distortion.name=fogg"), "unknown distortion 'fogg'"),
        (("--set", "rank.distance=emd"), "unknown distance 'emd'"),
        (
            ("--set", "data.n_train=40"),
            "axis 'distortion.n_images' has no value that the data set is large enough for: `distortion.n_images` must",
        ),
        (("--storage", "sqlite:////proc/nowhere/x.db"), "no folder for the database /proc/nowhere/x.db"),
        (("--tracker", "mlfow"), "unknown tracker 'mlfow' (did you mean 'mlflow'"),
        (("--tracking-uri", "file:///tmp/x"), "tracking URI must be sqlite:///FILE"),
        (("--store", "/proc/nowhere"), "store cannot be written: /proc/nowhere"),
        (("--import", "no_such_module"), "module to import does not exist: 'no_such_module'"),
    ],
)
def test_wrong_options(capsys, tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused(capsys, tmp_path, *arguments)


def test_who_has_too_few_images_for_a_space_is_told_what_to_do(capsys, tmp_path: Path) -> None:
    said = refused(capsys, tmp_path, "--set", "data.n_train=40")
    assert "give it smaller values in a copy of the space's file, named with --space" in said


def test_a_home_that_cannot_be_made(capsys) -> None:
    assert command_line(["--home", "/proc/nowhere"]) == 2
    assert "home folder cannot be made: /proc/nowhere" in capsys.readouterr().err


def make_folder(root: Path, classes: tuple[str, ...]) -> Path:
    for part in ("train", "test"):
        for name in classes:
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number}.png")
    return root


def test_folders_without_images_or_with_one_class(capsys, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no folder 'train'" in refused(capsys, tmp_path, "--dataset", f"folder:{tmp_path / 'empty'}")
    one = make_folder(tmp_path / "one", ("cat",))
    assert "at least 2 classes are needed, got cat" in refused(capsys, tmp_path, "--dataset", f"folder:{one}")


def test_an_unreadable_image_is_named_by_its_path(capsys, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "two", ("cat", "dog"))
    bad = root / "train" / "dog" / "2.png"
    bad.write_bytes(b"not an image")
    assert f"1 of 16 pictures cannot be used: {bad} (no picture" in refused(
        capsys, tmp_path, "--dataset", f"folder:{root}"
    )


def test_a_folder_as_a_data_set_s_name_is_told_how_it_is_written(capsys, tmp_path: Path) -> None:
    sentence = f"unknown data set '{tmp_path}'; the images of a folder are folder:{tmp_path}"
    assert sentence in refused(capsys, tmp_path, "--dataset", str(tmp_path))
    assert sentence in refused(capsys, tmp_path, "--dataset", str(tmp_path), "--dry-run")


def test_a_study_that_exists_with_another_space(capsys, tmp_path: Path) -> None:
    from engine.orchestration.search.planned_trials import PlannedTrials

    (tmp_path / "home").mkdir()
    storage = f"sqlite:///{tmp_path / 'home' / 'optuna.db'}"
    make_sweep_study(
        PlannedTrials(SPACE, 4, 0), storage=storage, name="mine", sampler="tpe", pruner=parse_pruner("none")
    )
    sentence = refused(capsys, tmp_path, "--study", "mine")
    assert "study 'mine' exists with another space (tiny, digest" in sentence


def test_space_files_that_define_no_space(capsys, tmp_path: Path) -> None:
    assert "space file does not exist" in refused(capsys, tmp_path, "--space", str(tmp_path / "none.py"))
    empty = tmp_path / "empty_space.py"
    empty.write_text("X = 1\n")
    assert "defines no SPACE, and must have SPACE = Space(...)" in refused(capsys, tmp_path, "--space", str(empty))
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps({"name": "x"}))
    assert "is not a space" in refused(capsys, tmp_path, "--space", str(odd))


def test_an_axis_that_the_network_rules_out_is_found_before_the_start(capsys, tmp_path: Path) -> None:
    value = SPACE.to_json()
    value["axes"].append(
        {"kind": "choice", "setting": "finetune.layers", "values": ["first-99"], "when": {"finetune.which": ["most"]}}
    )
    path = tmp_path / "space.json"
    path.write_text(json.dumps(value))
    sentence = refused(capsys, tmp_path, "--space", str(path))
    assert "axis 'finetune.layers', value 'first-99': `finetune.layers` = 'first-K' needs K from 1 to" in sentence


def with_axes(tmp_path: Path, *axes: dict, **base) -> str:
    """Return the path of the tests' space with other axes and without arms."""
    value = {**SPACE.to_json(), "axes": list(axes), "arms": []}
    value["base"] |= {path.replace("__", "."): setting for path, setting in base.items()}
    path = tmp_path / "space.json"
    path.write_text(json.dumps(value))
    return str(path)


H = {"kind": "choice", "setting": "push_pull.h", "values": [2.0, 2.5]}
BATCH_NORM = {"kind": "choice", "setting": "finetune.batch_norm", "values": ["frozen", "affine"]}


@pytest.mark.parametrize(
    ("axes", "base", "other"),
    [
        ([H], {"push_pull__where": "first"}, ["--set", "model.name=lenet-a", "model.width=none"]),
        (
            [{"kind": "float", "setting": "push_pull.h", "low": 1.4, "high": 1.9}],
            {"push_pull__where": "first"},
            ["--set", "model.name=lenet-a", "model.width=none"],
        ),
        (
            [BATCH_NORM],
            {"finetune__which": "all", "model__name": "cnn-2", "model__width": None},
            ["--set", "model.name=resnet-8"],
        ),
        (
            [{"kind": "choice", "setting": "push_pull.where", "values": ["first", "all"]}, H],
            {},
            ["--set", "model.name=lenet-a", "model.width=none"],
        ),
    ],
)
def test_an_axis_that_changes_nothing_of_this_network_is_found_before_the_start(
    capsys, tmp_path: Path, axes, base, other
) -> None:
    """Over 3×3 kernels h = 2 and h = 2.5 are one network; a network without normalisation has no γ and β to tune."""
    space = with_axes(tmp_path, *axes, **base)
    sentence = refused(capsys, tmp_path, "--space", space)
    label = axes[-1]["setting"]
    assert f"axis {label!r} can change nothing: whichever of its values is proposed (" in sentence
    assert command_line(["--home", str(tmp_path), "--dry-run", "--space", space, *other]) == 0, capsys.readouterr().err


def test_an_axis_that_can_change_nothing_is_found_before_the_start(capsys, tmp_path: Path) -> None:
    alpha = {"kind": "float", "setting": "push_pull.alpha", "low": 0.5, "high": 1.5}
    idle = with_axes(tmp_path, alpha)
    sentence = refused(capsys, tmp_path, "--space", idle)
    assert "axis 'push_pull.alpha' can change nothing: it matters only where `push_pull.where` is not none" in sentence
    live = with_axes(tmp_path, alpha, push_pull__where="first")
    assert "axis 'push_pull.alpha' can change nothing" in refused(
        capsys, tmp_path, "--space", live, "--set", "push_pull.where=none"
    )


def test_axes_of_which_none_applies_are_found_before_the_start(capsys, tmp_path: Path) -> None:
    asleep = with_axes(
        tmp_path, {"kind": "choice", "setting": "push_pull.h", "values": [1.5, 3], "when": {"push_pull.where": ["all"]}}
    )
    sentence = refused(capsys, tmp_path, "--space", asleep)
    assert "no axis of space 'tiny' applies" in sentence
    assert "axis 'push_pull.h' is for `push_pull.where` all, got none" in sentence
    assert command_line(["--home", str(tmp_path), "--space", asleep, "--set", "push_pull.where=all", "--dry-run"]) == 0


def test_an_axis_is_planned_where_it_matters(tmp_path: Path) -> None:
    path = with_axes(
        tmp_path,
        {"kind": "choice", "setting": "finetune.which", "values": ["none", "all"]},
        {
            "kind": "choice",
            "setting": "finetune.method",
            "values": ["filters", "network"],
            "when": {"finetune.which": "all"},
        },
        {
            "kind": "choice",
            "setting": "finetune.batch_norm",
            "values": ["full", "affine"],
            "when": {"finetune.method": "network"},
        },
    )
    assert command_line(["--home", str(tmp_path), "--space", path, "--dry-run"]) == 0


def test_the_dry_run_counts_stages_and_starts_nothing(capsys, tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text(json.dumps(SPACE.to_json()))
    home = tmp_path / "home"
    assert command_line(["--home", str(home), "--space", str(path), "--n-trials", "4", "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "4 trials: 4 of the arms\n" in output, "nothing is proposed, and nothing computed again"
    pretrain = next(line for line in output.splitlines() if "pretrain " in line)
    assert [cell.strip() for cell in pretrain.split("│")[2:5]] == ["4", "4", "0"]
    assert not (home / "optuna.db").exists()


def test_the_list_names_every_space(capsys) -> None:
    assert command_line(["--list"]) == 0
    output = capsys.readouterr().out
    assert "push-pull" in output
    assert "genetic algorithm" in output
    assert "a run for each trial below one for the sweep" in " ".join(output.split())
    assert "stops a trial whose error is above a bound: threshold:0.6" in output


def test_the_list_has_a_user_s_own_names_and_the_levels_of_distortions(capsys, monkeypatch) -> None:
    monkeypatch.setattr(DISTORTION_REGISTRY, "_entries", dict(DISTORTION_REGISTRY._entries))
    register_distortion("own-darker", levels=(10, 20))(lambda images, level, draws: images)
    register_distortion("own-plain")(lambda images, level, draws: images)
    assert command_line(["--list", "names"]) == 0
    output = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "awgn (5, 15, 25)" in output
    assert "own-darker (10, 20), own-plain" in output


def test_the_list_explains_settings_all_or_some(capsys) -> None:
    assert command_line(["--list", "settings"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert all(path in output for path in ("evaluate.objective", "rank.at", "rank.top", "data.split_seed"))
    assert "genetic algorithm" not in output
    assert command_line(["--list", "rank.top", "samplers"]) == 0
    output = capsys.readouterr().out
    assert "places that get points in an image's vote" in output
    assert "genetic algorithm" in output
    assert "rank.pairing │" not in output


def test_a_list_that_there_is_not(capsys, tmp_path: Path) -> None:
    assert "unknown list, or beginning of settings, 'smaplers' (did you mean 'samplers'?)" in refused(
        capsys, tmp_path, "--list", "smaplers"
    )
    assert "unknown setting 'rank.topp' (did you mean 'rank.top'?)" in refused(capsys, tmp_path, "--list", "rank.topp")


def test_several_objectives_have_their_own_sampler_no_pruner_and_another_study() -> None:
    from engine.orchestration.options import SweepOptions

    one, two = SweepOptions(), SweepOptions(objectives=("corrupted", "clean"))
    assert (one.sampler_name, one.pruner_name, one.objective_names) == ("tpe", "median", ("corrupted",))
    assert (two.sampler_name, two.pruner_name, two.objective_names) == ("nsga-ii", "none", ("clean", "corrupted"))
    assert SweepOptions(objectives=("corrupted", "clean"), sampler="tpe").sampler_name == "tpe"
    assert one.study_name(SPACE) != two.study_name(SPACE)
    assert two.study_name(SPACE) == SweepOptions(objectives=("clean", "corrupted")).study_name(SPACE)


GRID = {
    **SPACE.to_json(),
    "base": INHIBITED.flat(),
    "axes": [{"kind": "choice", "setting": "push_pull.h", "values": [1.5, 2.0, 3.0]}],
    "arms": [],
    "n_seeds": 1,
}


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (("--sampler", "grid"), ("4 trials: 3 proposed by grid, 1 to compute", "all 3 points of the grid are run")),
        (
            ("--sampler", "grid", "--n-trials", "3"),
            ("3 trials: 2 proposed by grid, 1 to compute", "of the grid's 3 points 2 are run, a random subset fixed"),
        ),
        (
            ("--objectives", "clean", "corrupted", "--n-trials", "3"),
            (
                "2 proposed by nsga-ii",
                "several objectives, clean and corrupted validation error: no trial is pruned (--pruner median has no "
                "effect); the winner is the front's point with the least corrupted error",
            ),
        ),
        (("--sampler", "qmc", "--n-trials", "3"), ("2 proposed by qmc",)),
        (
            ("--sampler", "grid", "--n-trials", "60"),
            ("60 trials are asked for; the space has 4: its axes allow 3 proposals", "all 3 points of the grid"),
        ),
    ],
)
def test_the_dry_run_says_how_the_search_goes(capsys, tmp_path: Path, arguments, sentences) -> None:
    path = tmp_path / "space.json"
    path.write_text(json.dumps(GRID))
    assert command_line(["--home", str(tmp_path / "home"), "--space", str(path), *arguments, "--dry-run"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    for sentence in sentences:
        assert sentence in output


@pytest.mark.parametrize(("given", "seconds"), [(None, 0.0), ((), 90.0), ((5.0,), 5.0), (5, 5.0)])
def test_waiting_for_another_driver_takes_a_number_or_none(given, seconds) -> None:
    assert SweepOptions(wait=given).wait_s == seconds


@pytest.mark.parametrize("given", [(1.0, 2.0), (-1.0,), (float("inf"),)])
def test_another_wait_is_refused(given) -> None:
    with pytest.raises(InputError, match="--wait takes one number of seconds ≥ 0, got "):
        SweepOptions(wait=given).check()


def test_on_the_command_line_too(capsys, tmp_path: Path) -> None:
    assert "--wait takes one number of seconds ≥ 0, got 1.0 2.0" in refused(capsys, tmp_path, "--wait", "1", "2")
    assert command_line(["--home", str(tmp_path / "home"), "--wait", "--dry-run"]) == 0


def test_a_bound_in_the_environment_that_is_no_number_is_refused(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ROBUSTUNE_SETS_GB", "some")
    assert "ROBUSTUNE_SETS_GB must be a number of gigabytes of at least 0, got 'some'" in refused(capsys, tmp_path)
