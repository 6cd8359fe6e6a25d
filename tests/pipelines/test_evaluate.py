"""One network, one table: of a folder, of a file, of a name with a file; and each fault is a sentence."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from engine import load_exported
from engine.corruptions import corrupt
from engine.data import open_reader
from engine.exporting import export_network
from engine.metrics import mean_calibration, predict
from engine.report import leaderboard
from engine.settings import DataSettings
from engine.stages import prepare_data
from engine.stages.network import build_network
from engine.stages.probe import TEST, corruption_seed
from engine.store import open_store
from engine.training.correction import CorrectedFilters
from pipelines.evaluate import command_line

SETTINGS = ("data.n_test=60", "data.n_validation=20", "evaluate.severities=1,5", "evaluate.corruptions=contrast")
NETWORK = {"name": "resnet-8", "width": 4, "num_classes": 10, "in_channels": 1, "image_size": 16}
PUSH_PULL = {"where": ["conv1", "layer2.0.conv1"], "h": 1.5, "alpha": 0.7, "learn_alpha": "layer"}


@pytest.fixture
def evaluate(tmp_path, capsys):
    """Return a function that runs the command with a home of its own: (exit code, what it printed, its errors)."""

    def run(*arguments, settings=SETTINGS):
        given = ["--home", str(tmp_path / "runs"), "--dataset", "digits", *map(str, arguments), "--set", *settings]
        code = command_line(given)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@torch.no_grad()
def answering(network):
    """Return a network that does not give one answer to all images, though it has learned nothing."""
    images = open_reader(DataSettings(name="digits")).read().train.images
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # its statistics are those of the images
    network.train()(images.float() / 255)
    network.fc.bias.sub_(predict(network, images).mean(0))
    return network


@pytest.fixture
def exported(tmp_path):
    """Return a folder that has a network with push–pull layers, and correction units that change its answers."""
    settings = {**NETWORK, "push_pull": PUSH_PULL}
    network = build_network(settings, seed=1)
    units = CorrectedFilters(network, {"layer1.0.conv1": torch.tensor([2, 0])}, generator=torch.Generator()).units
    with torch.no_grad():
        network.conv1.raw_alpha.add_(0.5)
        for parameter in units.parameters():
            parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(3))
    export_network(answering(network), tmp_path / "it", settings=settings, about={}, formats=["safetensors"])
    return tmp_path / "it"


def by_hand(network, home):
    """Return {corruption, severity: error} of a network on the test images, clean ones by themselves."""
    settings = DataSettings(name="digits", n_test=60, n_validation=20)
    _, data = prepare_data(settings, open_store(home / "store"))
    images, labels, indices = data.test.images, data.test.labels, data.test.indices
    sets = {("", 0): images}
    for severity in (1, 5):
        made = corrupt(
            images, "contrast", severity, seed=corruption_seed(TEST), indices=indices, table=data.severity_table
        )
        sets["contrast", severity] = made
    return {cell: float((predict(network, made).argmax(1) != labels).float().mean()) for cell, made in sets.items()}


def test_an_exported_network_has_the_errors_that_it_makes(evaluate, exported, tmp_path):
    code, printed, errors = evaluate("--network", exported, "--output", tmp_path / "errors.json")
    assert (code, errors) == (0, "")
    assert "resnet-8 on cpu; 60 test images of digits, 1×16×16, 10 classes" in printed
    written = json.loads((tmp_path / "errors.json").read_text())
    found = {(row["corruption"], row["severity"]): row["error"] for row in written["test"]["corrupted"]}
    expected = by_hand(load_exported(exported), tmp_path / "runs")
    assert {**found, ("", 0): written["test"]["clean"]} == expected
    assert len(set(expected.values())) > 1
    means = mean_calibration(written["test"]["corrupted"])
    clean, corrupted = (f"ECE {100 * of['ece']:.1f}, NLL" for of in (written["test"]["calibration"], means))
    assert f"calibration: {clean}" in printed
    assert f"on clean images; {corrupted}" in printed
    heads = [re.findall(r"\w+", line) for line in printed.splitlines()]
    assert ["corruption", "1", "5", "mean", "ECE", "NLL", "Brier"] in heads
    assert written["scores"]["E"] == pytest.approx((expected["contrast", 1] + expected["contrast", 5]) / 2)
    assert f"mean error {written['scores']['E']:.2%} over all of these, E" in printed
    assert written["settings"]["push_pull.where"] == "conv1,layer2.0.conv1"


def cells(printed, name):
    """Return the cells of a line of a table that is called so."""
    lines = [re.split(r"\s*│\s*|\s{2,}", line.strip(" │")) for line in printed.splitlines()]
    return next(line[1:] for line in lines if line and line[0] == name)


def test_one_table_has_clean_images_both_suites_and_sequences_against_a_baseline(evaluate, exported, tmp_path):
    settings = ("data.n_test=20", "data.n_validation=10", "evaluate.table=cifar-c", "evaluate.severities=1")
    settings += ("evaluate.corruptions=contrast,c-bar", "evaluate.sequences=translate", "evaluate.difficulty=3")
    code, first, errors = evaluate("--network", exported, "--output", tmp_path / "it.json", settings=settings)
    assert (code, errors) == (0, "")
    left_out = "left out: corruption 'transverse_chromatic_abberation' needs images of 3 channels, got 1"
    assert first.count("left out: ") == 1
    assert left_out in first
    written = json.loads((tmp_path / "it.json").read_text())
    (row,) = written["test"]["sequences"]
    assert (row["sequence"], row["frames"], row["difficulty"]) == ("translate", 16, 3)
    assert 0 < row["flip_probability"] < 1
    images, kinds = [one["images"] for one in written["summary"]], ["error", "error", "error", "flips"]
    assert images == ["clean", "C, 1 corruption", "C-bar, 9 corruptions", "P, 1 sequence"]
    shown = [f"{100 * one[kind]:.1f}" for one, kind in zip(written["summary"], kinds, strict=True)]
    assert all(value in cells(first, name) for name, value in zip(images, shown, strict=True))
    code, printed, errors = evaluate(
        "--network", exported, "--baseline", tmp_path / "it.json", "--output", tmp_path / "it.csv", settings=settings
    )
    assert (code, errors) == (0, "")
    assert "mFR 100.0   mT5D 100.0   in % of baseline" in printed
    assert cells(printed, "P, 1 sequence")[-1] == "100.0"
    assert (tmp_path / "it-flips.csv").read_text().splitlines()[1].startswith("translate,16,3,")
    lines = (tmp_path / "it.csv").read_text().splitlines()
    (tmp_path / "it.csv").write_text("\n".join(lines[:3]) + "\n")  # of before C-bar
    code, printed, _ = evaluate("--network", exported, "--baseline", tmp_path / "it.csv", settings=settings)
    assert "mCE 100.0" in printed
    assert "it.csv, which has no error for 9 of the corruptions" in printed
    assert "no mFR: baseline" in printed
    assert "it.csv has no flip probabilities, as an evaluation's .json has them" in printed


def test_a_network_by_name_is_compared_with_what_was_written_of_another(evaluate, tmp_path):
    for seed, file in ((0, "first"), (5, "second")):
        network = answering(build_network({**NETWORK, "push_pull": None}, seed=seed))
        save_file(network.state_dict(), tmp_path / f"{file}.safetensors")
    named = ("--network", "resnet-8", "--init")
    model = (*SETTINGS, "model.width=4")
    first = (*named, tmp_path / "first.safetensors", "--output", tmp_path / "first.csv")
    code, printed, errors = evaluate(*first, settings=(*model, "evaluate.difficulty=2"))
    assert (code, errors) == (0, "")
    assert "without effect: evaluate.difficulty, unless" in printed
    arguments = ("--baseline", tmp_path / "first.csv", "--output", tmp_path / "second.json")
    code, printed, errors = evaluate(*named, tmp_path / "second.safetensors", *arguments, settings=model)
    assert (code, errors) == (0, "")
    assert "mCE" in printed
    written = json.loads((tmp_path / "second.json").read_text())
    rows = [line.split(",") for line in (tmp_path / "first.csv").read_text().splitlines()[2:]]
    sums = sum(row["error"] for row in written["test"]["corrupted"]), sum(float(row[2]) for row in rows)
    assert written["scores"]["mCE"] == pytest.approx(sums[0] / sums[1])
    arguments = ("--baseline", tmp_path / "second.json", "--output", tmp_path / "itself.json")
    _, printed, _ = evaluate(*named, tmp_path / "second.safetensors", *arguments, settings=model)
    of_itself = json.loads((tmp_path / "itself.json").read_text())
    assert of_itself["scores"]["mCE"] == pytest.approx(1)
    assert "was measured on" not in printed
    assert "baseline_note" not in of_itself
    (tmp_path / "second.json").write_text(json.dumps(written | {"dataset": "cifar10"}))
    _, printed, _ = evaluate(*named, tmp_path / "second.safetensors", *arguments, settings=model)
    note = "was measured on cifar10, these errors on digits: ratios to it mean little"
    assert " ".join(printed.split()).count(note) == 2, "in the header, and below the table"
    assert note in json.loads((tmp_path / "itself.json").read_text())["baseline_note"]


def of_resnet18():
    """Return weights of torchvision's, all 0, that take no space in a file."""
    with torch.device("meta"):
        network = resnet18(num_classes=10)
    return {name: torch.zeros(()).expand(value.shape) for name, value in network.state_dict().items()}


def test_what_cannot_be_evaluated_is_said_before_anything_is_computed(evaluate, exported, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.json").mkdir()
    save_file({"other.weight": torch.ones(2, 2)}, tmp_path / "other.safetensors")
    torch.save(of_resnet18(), tmp_path / "resnet18.pth")
    cases = {
        (tmp_path / "resnet18.pth",): "are, by names and shapes, those of torchvision:resnet18: give it by name, "
        f"--network torchvision:resnet18 --init {tmp_path / 'resnet18.pth'}",
        ("resnet-8", "--init", tmp_path / "resnet18.pth"): "more; by names and shapes they are those of torchvision:re",
        ("resnet-8",): "network 'resnet-8' has no weights of its own: give a file of them by --init",
        ("resnet-8", "--init", "gone.pth"): "there is no checkpoint file gone.pth",
        ("resnt-8", "--init", tmp_path / "other.safetensors"): "unknown model 'resnt-8' (did you mean 'resnet-8'?)",
        ("resnet-8", "--init", tmp_path / "other.safetensors"): "do not fit: ",
        ("gone.pth",): "there is no network gone.pth: neither a file of weights nor an exported folder",
        (tmp_path / "empty",): "it has no config.json",
        (tmp_path / "other.safetensors",): "do not tell which network they are of: give it by name, --network NAME",
        (exported, "--init", tmp_path / "other.safetensors"): "but an exported network has its own",
        (exported, "--output", "errors.txt"): "`--output` must end in .csv or .json, got errors.txt",
        (exported, "--output", tmp_path / "folder.json"): "the table must be a file, got a folder: ",
        (exported, "--baseline", "nobody"): "unknown baseline",
    }
    for (network, *others), sentence in cases.items():
        code, printed, errors = evaluate("--network", network, *others)
        assert (code, printed) == (2, ""), network
        assert sentence in errors, network
    code, _, errors = evaluate("--network", exported, settings=(*SETTINGS, "data.image_size=24"))
    assert code == 2
    assert "takes images of 1×16×16 and has 10 classes, but digits has 1×24×24 and 10" in errors
    for network, setting, sentence in (
        (
            ("resnet-8", "--init", tmp_path / "other.safetensors"),
            "model.name=resnet-14",
            "whose model.name is resnet-8",
        ),
        ((exported,), "push_pull.h=2", "whose push_pull.h is 1.5, but --set says push_pull.h=2: give one of the two"),
    ):
        code, _, errors = evaluate("--network", *network, settings=(*SETTINGS, setting))
        assert code == 2
        assert f"`--network {network[0]}` is a network {sentence}" in errors
    code, _, errors = evaluate("--network", exported, settings=("finetune.which=most",))
    assert code == 2
    assert "the setting 'finetune.which' says nothing here, where nothing is trained" in errors


def test_the_leaderboard_s_files_are_written_of_published_images_alone(evaluate, exported, tmp_path, monkeypatch):
    entry = tmp_path / "Mine2026Robust.json"
    asked = ("--network", exported, "--leaderboard", entry, tmp_path / "Mine2026Robust.csv", "--entry")
    code, _, errors = evaluate(*asked, "name=Mine")
    assert code == 2
    assert "RobustBench's leaderboard is about cifar10 and cifar100" in errors
    for arguments, sentence in (
        (asked, "unknown field of the leaderboard's entry 'nme' (did you mean 'name'?)"),
        ((*asked[:2], "--entry"), "name its file by --leaderboard NAME.json"),
        ((*asked[:3], tmp_path / "it.txt", "--entry"), "`--leaderboard` must end in .json or .csv"),
        ((*asked[:3], tmp_path / "gone" / "it.json", "--entry"), "the leaderboard's file's folder does not exist"),
    ):
        code, _, errors = evaluate(*arguments, "nme=Mine")
        assert code == 2
        assert sentence in errors
    for name, value in {"DATASETS": ("digits",), "N_TEST": 60, "SIDE": 16, "CHANNELS": 1, "SEVERITIES": (1, 5)}.items():
        monkeypatch.setattr(leaderboard, name, value)
    monkeypatch.setattr(leaderboard, "CORRUPTIONS", ("contrast",))
    code, _, errors = evaluate(*asked, "name=Mine")
    assert code == 2
    assert "corrupted images made here instead of the published" in errors
    _, data = prepare_data(DataSettings(name="digits", n_test=60), open_store(tmp_path / "runs" / "store"))
    (tmp_path / "published").mkdir()
    pixels = data.test.images.permute(0, 2, 3, 1).numpy()
    np.save(tmp_path / "published" / "contrast.npy", np.concatenate([pixels] * 5))
    np.save(tmp_path / "published" / "labels.npy", np.tile(data.test.labels.numpy().astype(np.uint8), 5))
    files = (*SETTINGS, f"data.corruption_files={tmp_path / 'published'}")
    code, printed, errors = evaluate(*asked, "name=Mine", "--output", tmp_path / "errors.json", settings=files)
    assert (code, errors) == (0, "")
    assert "--entry FIELD=VALUE fills in link, authors, additional_data" in " ".join(printed.split())
    made, clean = json.loads(entry.read_text()), json.loads((tmp_path / "errors.json").read_text())["test"]["clean"]
    assert 0 < clean < 1
    assert made["clean_acc"] == made["corruptions_acc"] == f"{100 * (1 - clean):.2f}", "they are the clean images"
    assert (made["name"], made["authors"], made["eps"]) == ("Mine", None, None)
    rows = (tmp_path / "Mine2026Robust.csv").read_text().splitlines()
    assert rows[:2] == [",contrast,contrast", ",1,5"]
    assert rows[2].startswith("Mine2026Robust,0.")
