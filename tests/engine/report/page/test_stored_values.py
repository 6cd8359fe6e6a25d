"""What a store says beside a study: of one real trial, of which files then go missing."""

import re
import shlex
import shutil
from dataclasses import replace
from html import unescape

import pytest
import torch

from engine.layers import PushPull2d
from engine.ranking import activation_maps
from engine.report.page import kept_page
from engine.report.page.filter_disparity import UNTUNED
from engine.report.page.filter_figures import distance_bars, tuned_points
from engine.report.page.kept_page import keep_page, page_place, stored_or_why
from engine.report.page.page_parts import Remake
from engine.report.page.report_page import as_page
from engine.report.page.stored_values import MOST_NETWORKS, SWITCHED, read_stored
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.report.views import Shown
from engine.spaces import Arm, Space
from engine.stages import data_getter, plan_trial, prepare_data, run_chain
from engine.stages.made_network import made_network
from engine.stages.network import restore_network
from engine.stages.noisy import distorted
from engine.store import Store, open_store
from pipelines import disparity
from tests.engine.orchestration.spaces import TINY
from tests.engine.report.studies import study

LEARNING = {
    "push_pull.where": "first",
    "push_pull.learn_alpha": "kernel",
    "finetune.which": "most",
    "finetune.layers": "first",
    "finetune.fraction": 0.5,
}
SPACE = Space(name="s", base=TINY, arms=(Arm("learning", LEARNING), Arm("plain", {})), n_seeds=2)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A study with one trial that was computed, and its store."""
    folder = tmp_path_factory.mktemp("stored")
    store = open_store(str(folder / "store"))
    config = SPACE.config(LEARNING, seed=0)
    info, _ = prepare_data(config.data, store)
    plan = plan_trial(config, info)
    device = torch.device("cpu")
    *_, last = run_chain(plan, store, data_getter(info, store, device), device=device)
    errors = last.artifact.json("errors")
    trial = TrialResult(
        0,
        "arm/learning/0",
        "learning",
        0,
        "COMPLETE",
        LEARNING,
        errors["objective"],
        errors,
        None,
        {spec.stage: spec.key for spec in plan},
    )
    return Results("study", SPACE, (trial,)), folder


def test_times_machines_rankings_and_strengths_are_the_store_s(swept):
    results, folder = swept
    store, trial = open_store(str(folder / "store"), read_only=True), results.trials[0]
    found = read_stored(results, store)
    assert not found.missing
    assert set(found.seconds) == set(trial.stages.values())
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert {made["torch"] for made in found.made_on.values()} == {torch.__version__}
    [filters] = found.filters
    layer, ranking = next(iter(filters.rankings.items()))
    n_filters = len(ranking["points"])
    assert sorted(filters.chosen[layer]) == sorted(ranking["order"][: n_filters // 2])
    network = restore_network(made_network(trial.stages, store, of="it"), torch.device("cpu"))
    expected = {name: layer.alpha.tolist() for name, layer in network.named_modules() if isinstance(layer, PushPull2d)}
    [strengths] = found.strengths
    assert strengths.by_layer == expected
    assert len(next(iter(expected.values()))) == n_filters, "one a kernel"


def test_the_error_under_the_distortion_of_the_tuning_is_the_trial_s_own(swept):
    results, _ = swept
    [point] = tuned_points(results)
    assert (point.which, point.n_images) == ("most", 20)
    assert point.error == results.trials[0].test["tuned_distortion"]


def test_the_disparity_of_each_filter_is_that_of_its_ranking(swept):
    results, folder = swept
    [filters] = read_stored(results, open_store(str(folder / "store"), read_only=True)).filters
    picture = distance_bars([filters])
    assert len(picture.panels) == len(filters.rankings)
    shown = [(layer, int(number), float(value), bool(tuned)) for _, layer, number, value, _, tuned in picture.data.rows]
    expected = [
        (layer, number, pytest.approx(value, rel=1e-5), number in filters.chosen.get(layer, ()))
        for layer, ranking in filters.rankings.items()
        for number, value in enumerate(ranking["mean_distance"])
    ]
    assert shown == expected
    assert {row[4] for row in picture.data.rows} == {f"{TINY.rank.distance} after the {TINY.rank.at}"}
    assert picture.panels[0].count('class="c1 fill"') == len(next(iter(filters.chosen.values())))


def test_the_page_s_command_for_the_rest_of_it_finds_its_networks(swept, tmp_path, monkeypatch, capsys):
    """It compares responses, and trains nothing."""
    results, folder = swept
    place, store = tmp_path / "page.html", open_store(str(folder / "store"), read_only=True)
    before = set(store.keys())
    text = keep_page(results, store, place, scores=(), remake=Remake(place=("--home", str(folder))))
    (command,) = re.findall(r"python -m pipelines\.disparity [^<]*--set [^<]*", unescape(text))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    assert disparity.command_line([*shlex.split(command)[3:], "--n-images", "4"]) == 0, capsys.readouterr().err
    torch.set_num_threads(threads)
    assert set(store.keys()) == before


def test_where_noise_switches_filters_is_measured_where_networks_may_run(swept, tmp_path):
    results, folder = swept
    store, trial = open_store(str(folder / "store"), read_only=True), results.trials[0]
    plot = stored_or_why(results, store, run_networks=True).disparity
    network = restore_network(made_network(trial.stages, store, of="it"), torch.device("cpu"))
    image = Shown(results, store).data().test.take(torch.arange(1))
    noisy = distorted(image, {"name": TINY.distortion.name, "level": TINY.distortion.level}, seed=1)
    layer = next(iter(read_stored(results, store).filters[0].chosen))
    on = [next(activation_maps(network, one.images, [layer]))[layer] > 0 for one in (image, noisy)]
    tuned = next(row for row in plot.data.rows if row[:2] == ("learning", layer))
    assert tuned[3] == f"{int((on[0] != on[1]).sum()):,}"
    assert [row[0] for row in plot.data.rows] == [UNTUNED, "learning"]
    page = as_page(results, stored_or_why(results, store, run_networks=True))
    assert f'alt="{plot.data.title}"' in page
    assert SWITCHED not in page.split("What this page does not show")[-1]


@pytest.mark.parametrize(("took", "is_there"), [(0.5, True), (60.0, False)])
def test_a_sweep_s_own_page_has_it_where_networks_run_in_seconds(swept, tmp_path, monkeypatch, took, is_there):
    results, folder = swept
    store = open_store(str(folder / "store"), read_only=True)
    found = read_stored(results, store)
    took_so_long = replace(found, seconds=dict.fromkeys(found.seconds, took))
    monkeypatch.setattr(kept_page, "read_stored", lambda *_: took_so_long)
    text = keep_page(results, store, tmp_path / "page.html", scores=(), remake=Remake())
    assert ('alt="Filters that are positive for one of clean and noisy image only' in text) == is_there
    assert (SWITCHED in text.split("What this page does not show")[-1]) != is_there


def test_images_of_a_folder_are_not_decoded_again_for_it(swept):
    results, folder = swept
    found = read_stored(results, open_store(str(folder / "store"), read_only=True))
    quick = replace(found, seconds=dict.fromkeys(found.seconds, 0.5))
    assert kept_page.runs_in_seconds(results, quick)
    base = results.space.base.with_settings({"data.name": "folder:/images"})
    of_folder = replace(results, space=replace(results.space, base=base))
    assert not kept_page.runs_in_seconds(of_folder, quick)
    assert not kept_page.runs_in_seconds(results, replace(quick, seconds={})), "nobody knows how long"
    assert not kept_page.runs_in_seconds(results, replace(quick, filters=()))


def test_why_nothing_is_measured_of_networks_is_said(swept, tmp_path):
    results, folder = swept
    shutil.copytree(folder / "store", tmp_path / "store")
    shutil.rmtree(Store(tmp_path / "store").artifact_folder(results.trials[0].stages["pretrain"]))
    found = stored_or_why(results, open_store(str(tmp_path / "store"), read_only=True), run_networks=True)
    assert found.disparity is None
    assert any(said.startswith(f"{SWITCHED}: what pretrain of trial 0 made is needed") for said in found.missing)
    assert SWITCHED in as_page(results, read_stored(results, open_store(str(folder / "store"), read_only=True)))


def test_the_page_of_it_shows_them(swept, tmp_path):
    results, folder = swept
    store = open_store(str(folder / "store"), read_only=True)
    place = page_place(tmp_path, "study")
    text = keep_page(results, store, place, scores=(), remake=Remake())
    assert place.read_text() == text
    for words in ("Learned inhibition strengths α, a dot a kernel", "How affected each filter is", torch.__version__):
        assert words in text
    assert [path.name for path in place.parent.iterdir()] == ["study.html"], "nothing unfinished is left"


def test_what_is_gone_is_said_and_nothing_is_changed(swept, tmp_path):
    results, folder = swept
    shutil.copytree(folder / "store", tmp_path / "store")
    for stage in ("pretrain", "rank"):
        shutil.rmtree(Store(tmp_path / "store").artifact_folder(results.trials[0].stages[stage]))
    before = sorted(str(path) for path in (tmp_path / "store").rglob("*"))
    store = open_store(str(tmp_path / "store"), read_only=True)
    found = read_stored(results, store)
    assert (found.filters, found.strengths) == ([], [])
    said = " ".join(found.missing)
    assert "2 of 4 stages are not in the store" in said
    assert "the filters’ ranking of trial 0 is not in the store" in said
    assert "its pretrain" in said
    keep_page(results, store, tmp_path / "x.html", scores=(), remake=Remake())
    assert sorted(str(path) for path in (tmp_path / "store").rglob("*")) == before


def test_of_many_networks_some_are_loaded(swept):
    results, folder = swept
    store = open_store(str(folder / "store"), read_only=True)
    many = tuple(replace(results.trials[0], number=at, seed=at) for at in range(MOST_NETWORKS + 1))
    found = read_stored(replace(results, trials=many), store)
    assert len(found.strengths) == MOST_NETWORKS
    assert found.missing == [f"learned strengths are of {MOST_NETWORKS} networks of {MOST_NETWORKS + 1}"]


def test_a_page_that_cannot_be_written_leaves_the_one_before(swept, tmp_path, monkeypatch):
    results, folder = swept
    store = open_store(str(folder / "store"), read_only=True)
    place = page_place(tmp_path, "study")
    before = keep_page(results, store, place, scores=(), remake=Remake())
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        keep_page(results, store, tmp_path / "file" / "x.html", scores=(), remake=Remake())
    with pytest.raises(ValueError, match="study 'study' has no complete trial"):
        keep_page(study(SPACE, {"plain": [None]}), store, place, scores=(), remake=Remake())
    assert place.read_text() == before
