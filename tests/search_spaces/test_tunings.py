import itertools
from collections import Counter
from dataclasses import replace

import pytest
import torch

from engine.metrics import classification_error
from engine.report.results import Results
from engine.report.text_tables import Table
from engine.report.trial_results import TrialResult
from engine.report.views import Plot, Shown, view_parts
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
from search_spaces._grids import VIEW
from search_spaces._selective import METHODS, WHICH, grid, methods
from search_spaces._tuning_figures import curves_figure
from search_spaces._tunings import Condition, Tunings, course_of, tuned_accuracy, untuned_accuracy

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
    view=VIEW,
)
GRIDS = ("selective-digits", "selective-cifar")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return what is shown of all arms on two seeds, computed here."""
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
    return Shown(Results("toy", SPACE, tuple(trials)), store)


@pytest.mark.parametrize("name", GRIDS)
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


def test_a_study_knows_its_tunings_by_their_settings(swept) -> None:
    tunings = Tunings(swept.results)
    assert tunings.seeds == [0, 1]
    assert list(map(str, tunings.conditions())) == ["awgn 100", "blur 2"]
    awgn = tunings.conditions()[0]
    assert awgn.other == "gaussian_blur"
    assert tunings.numbers(awgn) == [10, 20]
    usual = tunings.usual(awgn, 20, "most")
    assert (usual.layers, usual.distance, usual.pairing) == ("all", "emd_1d", "paired")
    assert [len(tunings.trials(t)) for t in (usual, usual._replace(distance="l2"))] == [2, 2]
    assert tunings.trials(usual._replace(distance="cosine")) == {}
    (trial,) = (t for t in swept.results.trials if (t.group, t.seed) == ("awgn 100 n=20 most l2", 1))
    by_seed = tuned_accuracy(tunings.trials(usual._replace(distance="l2")))
    assert by_seed[1] == 1 - trial.test["tuned_distortion"]


def test_accuracy_without_tuning_is_on_the_images_that_tuned_networks_are_tested_on(swept) -> None:
    tunings, condition = Tunings(swept.results), Condition("blur", 2.0)
    found = untuned_accuracy(swept, tunings)[condition]
    trial = tunings.trials(tunings.usual(condition, 20, "all"))[1]
    pretrained, tuned = (swept.artifact(trial, stage) for stage in ("pretrain", "finetune"))
    noisy = distorted(swept.data().test, {"name": "blur", "level": 2.0}, seed=1)  # the seed of test images
    plain, changed = (load_network(pretrained, t, torch.device("cpu")) for t in (None, tuned))
    assert found[1] == 1 - classification_error(plain, noisy)
    assert trial.errors["test"]["tuned_distortion"] == classification_error(changed, noisy)


def test_a_course_has_every_epoch_of_every_seed(swept) -> None:
    tunings = Tunings(swept.results)
    trials = tunings.trials(tunings.usual(Condition("awgn", 100.0), 10, "least"))
    course = course_of(trials, swept)
    history = swept.artifact(trials[1], "finetune").history
    assert [epoch[1] for epoch in course.accuracy] == [1 - record["tuned_distortion_error"] for record in history]
    best = min(history, key=lambda record: (record["validation_error"], record["validation_loss"]))
    assert course.kept[1] == best["epoch"]
    assert course.seconds[1][1] == pytest.approx(sum(record["seconds"] for record in history))


def table(parts, words: str) -> Table:
    """Return the one table whose title has some words."""
    (found,) = (part for part in parts if isinstance(part, Table) and words in part.title)
    return found


def test_the_view_shows_its_tables_and_draws_its_figures(swept, tmp_path) -> None:
    parts = view_parts(swept)
    assert not [part for part in parts if isinstance(part, str)], "all of it is shown"
    accuracies = table(parts, "accuracy in % on test images so distorted")
    assert [row[0] for row in accuracies.rows if row] == [
        "awgn 100, 10 images",
        "awgn 100, 20 images",
        "blur 2, 20 images",
    ]
    assert accuracies.columns == ("", "none", *WHICH)
    assert "digits, 2 seeds" in accuracies.title
    together = {row[0]: row[1:] for row in table(parts, "all cells together").rows}
    assert together["most − random"][1] == "3"  # cells: two numbers of images with noise, one with blur
    rankings = [row[0] for row in table(parts, "Which ranking").rows]
    assert {"awgn 100, 20 images: l2", "blur 2, 20 images: emd_1d, unpaired"} < set(rankings)
    assert "tested on gaussian_noise and gaussian_blur (severities 3)" in table(parts, "Tuned on one distortion").title
    assert [row[0] for row in table(parts, "One layer against several").rows] == ["blur 2, 20 images: all"]
    (selection,) = table(parts, "Which noisy images choose the epoch").rows
    assert selection[1:4] == ("validation", "10", "40"), "ten and the 30 validation images"
    methods_of = {
        row[0].split("images: ")[1].split()[0]: int(row[-1].replace(",", ""))
        for row in table(parts, "Other ways to tune").rows
    }
    filters, classifier, first, second = 2, 8 * 4 * 4 * 10 + 10, 8 * 9 + 8, 8 * 8 * 9 + 8
    assert methods_of == {
        "most": filters * (9 + 1) + filters * (8 * 9 + 1),
        "all": first + second,
        "correction": 2 * 2 * (9 * filters**2 + filters),
        "classifier": classifier,
        "network": first + second + classifier,
        "retrain": first + second + classifier,
    }
    assert methods_of.keys() >= METHODS.keys()
    assert "Convergence with 20 images" in table(parts, "Convergence with").title
    plots = {part.name: part for part in parts if isinstance(part, Plot)}
    assert list(plots) == ["accuracy", "differences", "convergence"]
    drawn = plots["accuracy"].data.rows
    assert len(drawn) == 3 * len(WHICH)
    for plot in plots.values():
        assert all(len(row) == len(plot.data.columns) for row in plot.data.rows)
        assert plot.draw().axes[0].lines


def test_a_sweep_that_is_not_finished_shows_what_there_is(swept) -> None:
    results = swept.results
    some = tuple(t for t in results.trials if t.seed == 0 and ("most" in t.group or t.group.endswith("n=20 all")))
    parts = view_parts(replace(swept, results=replace(results, trials=some)))
    assert not [part for part in parts if isinstance(part, str)]
    accuracies = table(parts, "accuracy in % on test images so distorted")
    assert "digits, 1 seed" in accuracies.title
    assert ["–" in row for row in accuracies.rows if row] == [True, True, True]
    assert all(row[accuracies.columns.index("most")] != "–" for row in accuracies.rows if row)
    assert [part.name for part in parts if isinstance(part, Plot)] == ["accuracy", "differences"]


def test_a_figure_s_legend_has_what_any_panel_shows() -> None:
    curves = {25: (1.0, 0.5, 1.5), 100: (2.0, 1.5, 2.5)}
    first, second = Condition("awgn", 25), Condition("blur", 1)
    found = {first: {"most": curves}, second: {"least": curves}}
    figure = curves_figure(found, {}, title="title", measure="points", level={}, level_label="")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["most", "least"]
