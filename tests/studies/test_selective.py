import itertools
from collections import Counter
from dataclasses import replace

import pytest
import torch
from PIL import Image

from engine.metrics import classification_error
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.settings import (
    DataSettings,
    EvaluateSettings,
    FinetuneSettings,
    ModelSettings,
    TrainingSettings,
    TrialConfig,
)
from engine.spaces import Arm, Space, load_space
from engine.stages import data_getter, plan_trial, prepare_data, run_chain
from engine.stages.network import load_network
from engine.stages.noisy import distorted
from engine.store import Store
from search_spaces._selective import METHODS, WHICH, grid, methods
from studies import selective
from studies._selective import Condition, Study, course_of, tuned_accuracy, untuned_accuracy

AWGN, BLUR = {"awgn": (100.0,)}, {"blur": (2.0,)}
EPOCHS = {10: 2, 20: 2}

SPACE = Space(
    name="selective-digits",
    base=TrialConfig(
        data=DataSettings(n_train=60, n_validation=30, n_test=40),
        model=ModelSettings(name="cnn-2", width=8),
        pretrain=TrainingSettings(epochs=2),
        finetune=FinetuneSettings(training=TrainingSettings(epochs=2, schedule="constant")),
        evaluate=EvaluateSettings(
            corruptions=("gaussian_noise", "gaussian_blur"), objective=("gaussian_noise",), severities=(3,)
        ),
    ),
    arms=(
        Arm("none", {"finetune.which": "none"}, control=True),
        *grid(AWGN, EPOCHS),
        *grid(BLUR, EPOCHS, (20,)),
        *grid(AWGN, EPOCHS, (20,), ("most",), rank__distance="l2"),
        *grid(BLUR, EPOCHS, (20,), ("most",), rank__pairing="unpaired"),
        *grid(BLUR, EPOCHS, (20,), ("all",), finetune__layers="first"),
        *grid(AWGN, EPOCHS, (10,), ("most",), finetune__select_by="validation"),
        *methods(AWGN, EPOCHS, (20,)),
    ),
    n_seeds=2,
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return the results of all arms on two seeds, computed here, and their store."""
    store = Store(tmp_path_factory.mktemp("store"))
    info, _ = prepare_data(SPACE.base.data, store)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small only get slower by more
    get_data, device = data_getter(info, store, torch.device("cpu")), torch.device("cpu")
    trials = []
    for number, (seed, arm) in enumerate(itertools.product((0, 1), SPACE.arms)):
        plan = plan_trial(SPACE.config(arm.settings, seed=seed), info)
        done = {outcome.spec.stage: outcome for outcome in run_chain(plan, store, get_data, device=device)}
        errors = done["evaluate"].artifact.json("errors")
        stages = {stage: outcome.spec.key for stage, outcome in done.items()}
        slot = f"arm/{arm.name}/{seed}"
        trials.append(TrialResult(number, slot, arm.name, seed, "COMPLETE", arm.settings, 0.2, errors, "", stages))
    torch.set_num_threads(threads)
    return Results("toy", SPACE, tuple(trials)), store


@pytest.mark.parametrize("name", selective.SPACES)
def test_every_cell_of_the_grids_has_all_choices(name) -> None:
    space = load_space(name)
    assert [arm.name for arm in space.arms if arm.control] == ["none"]
    others = ("rank.distance", "rank.pairing", "finetune.layers", "finetune.method", "finetune.select_by")
    tuned = [arm.settings for arm in space.arms[1:]]
    cells = Counter(
        (settings["distortion.name"], settings["distortion.level"], settings["distortion.n_images"])
        for settings in tuned
        if not settings.keys() & set(others)
    )
    assert set(cells.values()) == {len(WHICH)}
    for settings in tuned:  # what another ranking or one layer is compared with is there
        assert (settings["distortion.name"], settings["distortion.level"], settings["distortion.n_images"]) in cells
        assert settings["finetune.training.epochs"] >= 6
    assert space.n_seeds >= 5


def test_the_commands_of_the_study_run_every_arm_on_every_seed() -> None:
    for name in selective.SPACES:
        space = load_space(name)
        assert f"--space {name} --n-trials {len(space.arms) * space.n_seeds} --study {name}" in selective.__doc__


def test_a_study_knows_its_tunings_by_their_settings(swept) -> None:
    study = Study(swept[0])
    assert study.seeds == [0, 1]
    assert list(map(str, study.conditions())) == ["awgn 100", "blur 2"]
    awgn = study.conditions()[0]
    assert awgn.other == "gaussian_blur"
    assert study.numbers(awgn) == [10, 20]
    usual = study.usual(awgn, 20, "most")
    assert (usual.layers, usual.distance, usual.pairing) == ("all", "emd_1d", "paired")
    assert [len(study.trials(t)) for t in (usual, usual._replace(distance="l2"))] == [2, 2]
    assert study.trials(usual._replace(distance="cosine")) == {}
    (trial,) = (t for t in swept[0].trials if (t.group, t.seed) == ("awgn 100 n=20 most l2", 1))
    by_seed = tuned_accuracy(study.trials(usual._replace(distance="l2")))
    assert by_seed[1] == 1 - trial.errors["test"]["tuned_distortion"]


def test_accuracy_without_tuning_is_on_the_images_that_tuned_networks_are_tested_on(swept) -> None:
    results, store = swept
    study, condition = Study(results), Condition("blur", 2.0)
    _, data = prepare_data(SPACE.base.data, store)
    found = untuned_accuracy(study.networks(store), data, [condition])[condition]
    trial = study.trials(study.usual(condition, 20, "all"))[1]
    pretrained, tuned = (store.find(trial.stages[stage]) for stage in ("pretrain", "finetune"))
    noisy = distorted(data.test, {"name": "blur", "level": 2.0}, seed=1)  # the seed of test images
    plain, changed = (load_network(pretrained, t, torch.device("cpu")) for t in (None, tuned))
    assert found[1] == 1 - classification_error(plain, noisy)
    assert trial.errors["test"]["tuned_distortion"] == classification_error(changed, noisy)


def test_a_course_has_every_epoch_of_every_seed(swept) -> None:
    results, store = swept
    study = Study(results)
    trials = study.trials(study.usual(Condition("awgn", 100.0), 10, "least"))
    course = course_of(trials, store)
    history = store.find(trials[1].stages["finetune"]).history
    assert [epoch[1] for epoch in course.accuracy] == [1 - record["tuned_distortion_error"] for record in history]
    best = min(history, key=lambda record: (record["validation_error"], record["validation_loss"]))
    assert course.kept[1] == best["epoch"]
    assert course.seconds[1][1] == pytest.approx(sum(record["seconds"] for record in history))


def test_the_study_prints_its_tables_and_writes_its_figures(swept, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(selective, "load", lambda given, *spaces: swept)
    assert selective.main(["--study", "toy", "--figures", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "60 training and 40 test images, 2 seeds",
        "awgn 100: accuracy in %",
        "blur 2: differences in points",
        "blur 2, 20 images: emd_1d, unpaired",
        "awgn 100, 20 images: l2",
        "tested on gaussian_noise and gaussian_blur (severities 3)",
        "One layer against several",
        "Which noisy images choose the epoch",
        "Convergence with 20 images",
        *(f"awgn 100, 20 images: {method}" for method in METHODS),
    ):
        assert words in printed
    parameters = {
        line.split("images: ")[1].split()[0]: int(line.split()[-1].replace(",", ""))
        for line in printed[printed.index("Other ways to tune") :].splitlines()
        if line.startswith("awgn 100, 20 images: ")
    }
    filters, classifier, first, second = 2, 8 * 4 * 4 * 10 + 10, 8 * 9 + 8, 8 * 8 * 9 + 8
    assert parameters == {
        "most": filters * (9 + 1) + filters * (8 * 9 + 1),
        "all": first + second,
        "correction": 2 * 2 * (9 * filters**2 + filters),
        "classifier": classifier,
        "network": first + second + classifier,
        "retrain": first + second + classifier,
    }
    selection = next(line for line in printed[printed.index("Which noisy") :].splitlines() if " validation " in line)
    assert selection.split()[5:8] == ["validation", "10", "40"], "ten and the 30 validation images"
    verdict = next(line for line in printed.splitlines() if line.startswith("most − random "))
    assert verdict.split()[4] == "3"  # cells: two numbers of images with noise, one with blur
    for what in ("accuracy", "differences", "convergence"):
        picture = Image.open(tmp_path / f"toy-{what}.png").convert("L")
        assert sum(count > 0 for count in picture.histogram()) > 20


def test_a_sweep_that_is_not_finished_shows_what_there_is(swept, tmp_path, monkeypatch, capsys) -> None:
    results, store = swept
    some = tuple(t for t in results.trials if t.seed == 0 and ("most" in t.group or t.group.endswith("n=20 all")))
    monkeypatch.setattr(selective, "load", lambda given, *spaces: (replace(results, trials=some), store))
    assert selective.main(["--study", "part", "--figures", str(tmp_path)]) == 0
    assert "1 seeds" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"part-accuracy.png", "part-differences.png"}


def test_a_figures_folder_that_is_not_there_is_one_sentence(tmp_path, capsys) -> None:
    assert selective.main(["--study", "x", "--home", str(tmp_path), "--figures", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith("error: the figures' folder does not exist: ")
