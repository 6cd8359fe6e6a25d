"""A network of torchvision through the commands: published weights, a file of them, a classifier of another size."""

import json

import pytest
import torch
import torchvision

from engine.data import open_reader
from engine.models import build_model
from engine.settings import DataSettings
from pipelines.evaluate import command_line as evaluate
from pipelines.trial import command_line as trial
from tests.engine.models import robustbench_stand_in
from tests.registered import imported

NAME = "torchvision:resnet18"
DATA = ("data.n_train=40", "data.n_validation=20", "data.n_test=40", "data.channels=3", "data.image_size=32")
TESTED = ("evaluate.severities=5", "evaluate.corruptions=contrast")
TUNED = ("finetune.which=most", "finetune.layers=layer1", "finetune.training.epochs=1", "distortion.n_images=20")
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Return a network whose weights are where torch's hub would have torchvision's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(entry, "url", "https://nowhere.invalid/resnet18.pth")
    other = torchvision.models.ResNet34_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(other, "url", "https://nowhere.invalid/resnet34.pth")
    torch.manual_seed(3)
    network = torchvision.models.resnet18()
    torch.save(network.state_dict(), tmp_path / "hub" / "checkpoints" / "resnet18.pth")
    return network


def run(command, tmp_path, capsys, *arguments, settings=()):
    given = ["--home", str(tmp_path / "runs"), "--dataset", "digits", *arguments]
    named = {setting.partition("=")[0] for setting in settings}
    others = [setting for setting in (*DATA, *TESTED) if setting.partition("=")[0] not in named]
    code = command([*given, "--set", *others, *settings])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_classifier_of_another_size_is_swapped_where_it_is_trained(weights, tmp_path, capsys):
    network = ("--init", "IMAGENET1K_V1")
    model = f"model.name={NAME}"
    code, _, errors = run(trial, tmp_path, capsys, *network, settings=(model, *TUNED))
    assert code == 2
    assert "classifier 'fc' in " in errors
    assert "has 1000 classes, and the images have 10: a new one has to be trained" in errors
    code, printed, errors = run(
        trial, tmp_path, capsys, *network, settings=(model, *TUNED, "finetune.train_classifier=true")
    )
    assert (code, errors) == (0, "")
    words = " ".join(printed.split())
    assert f"{NAME} with the weights ResNet18_Weights.IMAGENET1K_V1: 224 pixels of 256, 69.8 % right" in words
    assert "has 1000 classes, and the images have 10: it is left out, and a new one begins at random" in words
    assert "init → rank → finetune → evaluate" in words


def test_a_file_of_a_library_s_network_is_evaluated(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights.fc = torch.nn.Linear(512, 10)
    raw = open_reader(DataSettings(name="digits", channels=3, image_size=32)).read()

    def normalised(split):
        return (split.images.float() / 255 - MEAN[:, None, None]) / STD[:, None, None]

    with torch.no_grad():
        weights.fc.bias.sub_(weights.eval()(normalised(raw.train)[:200]).mean(0))  # or one class is all its answer
        share = weights(normalised(raw.test)).argmax(1)
    torch.save({"epoch": 3, "state_dict": {f"module.{n}": v for n, v in weights.state_dict().items()}}, "mine.pth.tar")
    output = ("--output", str(tmp_path / "errors.json"))
    settings = ("data.n_test=100000",)
    code, printed, errors = run(
        evaluate, tmp_path, capsys, "--network", NAME, "--init", "mine.pth.tar", *output, settings=settings
    )
    assert (code, errors) == (0, "")
    assert "does not say what images are normalised by: it is done as for ResNet18_Weights.IMAGENET1K_V1" in " ".join(
        printed.split()
    )
    clean = json.loads((tmp_path / "errors.json").read_text())["test"]["clean"]
    assert 0 < clean < 1
    assert clean == pytest.approx(float((share != raw.test.labels).float().mean()), abs=2 / len(share))


def test_what_does_not_fit_or_is_not_there_is_said(weights, tmp_path, capsys):
    code, _, errors = run(evaluate, tmp_path, capsys, "--network", NAME)
    assert code == 2
    assert "has 1000 classes, and the images have 10" in errors
    code, _, errors = run(evaluate, tmp_path, capsys, "--network", "torchvision:resnet34", "--init", "DEFAULT")
    assert code == 2
    assert "the weights ResNet34_Weights.IMAGENET1K_V1 of torchvision:resnet34 are not on this machine" in errors
    code, _, errors = run(evaluate, tmp_path, capsys, "--network", "resnet-8", "--init", "default")
    assert code == 2
    assert "the network 'resnet-8' has no published weights that `--init default` could mean" in errors
    file = str(tmp_path / "hub" / "checkpoints" / "resnet18.pth")
    code, _, errors = run(evaluate, tmp_path, capsys, "--network", "torchvision:resnet34", "--init", file)
    assert code == 2
    assert "do not fit: layer1.2.conv1.weight is missing" in errors


def error_written(folder):
    return json.loads((folder / "errors.json").read_text())["test"]["clean"]


def error_of(network):
    """Return a network's error on all test images, and two images' share of it."""
    raw = open_reader(DataSettings(name="digits", channels=3, image_size=32)).read()
    with torch.no_grad():
        wrong = network(raw.test.images.float() / 255).argmax(1) != raw.test.labels
    return float(wrong.float().mean()), None, 2 / len(wrong)


def test_a_network_of_robustbench_s_zoo_is_evaluated_and_tuned(tmp_path, capsys, monkeypatch):
    name = "robustbench:cifar10/corruptions/Own2021Wrapped"
    models = robustbench_stand_in.install(tmp_path / "zoo", monkeypatch)
    try:
        code, _, errors = run(evaluate, tmp_path, capsys, "--network", name)
        assert code == 2
        assert f"there is no {models / name.partition(':')[2]}.pt, and RobustBench cannot fetch it" in errors
        own = robustbench_stand_in.save(models, name.partition(":")[2])
        output = ("--output", str(tmp_path / "errors.json"))
        settings = ("data.n_test=100000", "evaluate.corruptions=contrast")
        code, printed, errors = run(evaluate, tmp_path, capsys, "--network", name, *output, settings=settings)
        assert (code, errors) == (0, "")
        assert "it normalises its input itself" in " ".join(printed.split())
        assert error_written(tmp_path) == pytest.approx(*error_of(own))
        tuned = (f"model.name={name}", *TUNED[:1], "finetune.layers=model.conv2", *TUNED[2:], "push_pull.where=first")
        code, printed, errors = run(trial, tmp_path, capsys, "--init", "default", settings=tuned)
        assert (code, errors) == (0, "")
        assert "init → rank → finetune → evaluate" in " ".join(printed.split())
    finally:
        robustbench_stand_in.remove()


OWN = """
from collections import OrderedDict

import torch
from torch import nn

from engine import register_model
from engine.models import build_model

class Normaliser(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.25))

    def forward(self, images):
        return images - self.mean

@register_model("inside")
def inside(*, num_classes, in_channels, image_size, width):
    network = build_model("resnet-8", num_classes=num_classes, in_channels=3, image_size=image_size, width=4)
    network.normalise = nn.Identity()
    return nn.Sequential(OrderedDict(normalize=Normaliser(), model=network))
"""


def test_a_network_of_one_s_own_normalises_by_itself_and_its_file_is_that_of_a_known_one(tmp_path, capsys, monkeypatch):
    (tmp_path / "normalised_inside.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    with imported(tmp_path, "normalised_inside"):
        torch.manual_seed(0)
        own = build_model("inside", num_classes=10).eval()
        torch.save(own.state_dict(), "inside.pth")
        named = ("--network", "inside", "--init", "inside.pth", "--output", str(tmp_path / "errors.json"))
        code, _, errors = run(evaluate, tmp_path, capsys, *named, settings=("data.n_test=100000",))
    assert (code, errors) == (0, "")
    assert error_written(tmp_path) == pytest.approx(*error_of(own))
