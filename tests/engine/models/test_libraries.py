"""Networks of torchvision and timm: their own layers and names, images in [0, 1], and weights as they are published."""

import sys

import pytest
import torch
import torchvision

from engine.errors import InputError
from engine.layers import PushPull2d
from engine.models import build_model, torchvision_networks
from engine.models.checkpoint import read_checkpoint
from engine.models.libraries import architecture_digest, networks_with, published_weights
from engine.models.published import fetch
from engine.models.reference import recognise
from engine.models.weights import load_weights
from engine.ranking import filter_units
from engine.training.frozen import cut_network
from engine.training.selective import classifier_name

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSIFIERS = {
    "resnet18": "fc",
    "alexnet": "classifier.6",
    "squeezenet1_1": "classifier.1",
    "googlenet": "fc",
    "mobilenet_v3_small": "classifier.3",
    "convnext_tiny": "classifier.2",
    "swin_t": "head",
    "vit_b_16": "heads.head",
}
"""One of each family whose classifier has another name."""


@pytest.mark.parametrize("name", [*CLASSIFIERS, "resnet50", "densenet121"])
def test_weights_tell_the_network_of_torchvision_that_they_are_of(name):
    with torch.device("meta"):
        own = {"aux_logits": True, "init_weights": False} if name == "googlenet" else {}
        weights = torchvision.models.get_model(name, num_classes=7, **own).state_dict()
    assert recognise(weights) is None, "they are no CIFAR ResNet's"
    assert networks_with(weights) == [f"torchvision:{name}"]
    last = list(weights)[-1]
    assert networks_with({key: value for key, value in weights.items() if key != last}) == []
    assert networks_with({**weights, last: torch.empty(9, 9, device="meta")}) == []


@pytest.mark.parametrize("n_classes", [7, 1000])
def test_the_weights_of_each_network_of_torchvision_are_known_as_its_own(n_classes):
    unknown = {}
    for name in torchvision_networks.names():
        with torch.device("meta"):
            network = torchvision_networks.build(name, num_classes=n_classes, in_channels=3, image_size=224)
        assert all(value.is_meta for value in network.state_dict().values()), name
        found = networks_with(network.state_dict())
        if found != [f"torchvision:{name}"]:
            unknown[name] = found
    assert unknown == {}


@pytest.mark.parametrize(("name", "classifier"), CLASSIFIERS.items())
def test_a_network_of_torchvision_has_so_many_classes_and_its_classifier_is_found(name, classifier):
    with torch.device("meta"):
        network = build_model(f"torchvision:{name}", num_classes=7, image_size=64)
        assert network.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
    assert classifier_name(network) == classifier
    assert len(network.get_submodule(classifier).weight) == 7


def test_a_network_is_the_library_s_own_behind_its_normalisation():
    torch.manual_seed(0)
    network = build_model("torchvision:resnet18", num_classes=5, image_size=64).eval()
    torch.manual_seed(0)
    own = torchvision.models.resnet18(num_classes=5).eval()
    assert [name for name in network.state_dict() if not name.startswith("normalise")] == list(own.state_dict())
    network.normalise.set_statistics(*IMAGENET)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    with torch.no_grad():
        assert torch.equal(network(images), own((images - mean) / std))
    assert not isinstance(own, type(network)), "the library's own class stays as it is"


def test_a_network_is_cut_and_its_filters_units_are_found():
    network = build_model("torchvision:resnet18", num_classes=5, image_size=64).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    cut = cut_network(network, ["layer2.0.conv1.weight"], images)
    assert cut is not None
    with torch.no_grad():
        torch.testing.assert_close(cut.rest(cut.frozen(images)), network(images), rtol=1e-4, atol=1e-5)
    unit = filter_units(network, images)["layer1.0.conv1"]
    assert (unit.normalisation, unit.function) == ("layer1.0.bn1", "relu")


def test_push_pull_layers_are_where_they_are_wanted():
    def layers(where):
        with torch.device("meta"):
            network = build_model("torchvision:resnet18", num_classes=5, push_pull={"where": where, "h": 2.0})
        return {name: module for name, module in network.named_modules() if isinstance(module, PushPull2d)}

    first = layers("first")
    assert {name: layer.pull_kernel_size for name, layer in first.items()} == {"conv1": (15, 15)}
    assert first["conv1"].stride == (2, 2)
    block = ["layer1.0.conv1", "layer1.0.conv2"]
    assert list(layers("first_block")) == ["conv1", *block]
    assert list(layers("layer2")) == [f"layer2.{block}.conv{i}" for block in (0, 1) for i in (1, 2)]
    assert list(layers("layer*.0.conv1")) == [f"layer{number}.0.conv1" for number in (1, 2, 3, 4)]


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Return a function that puts a file of weights where torch's hub would have it, and what is published there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.value
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)

    def put(content, *, digest="", name="resnet18"):
        file = tmp_path / "hub" / "checkpoints" / f"{name}{digest}.pth"
        torch.save(content, file)
        monkeypatch.setattr(entry, "url", f"https://nowhere.invalid/models/{file.name}")
        return file

    return put


def test_published_weights_are_read_where_torch_keeps_them(published):
    torch.manual_seed(3)
    own = torchvision.models.resnet18()
    file = published(own.state_dict())
    for word in ("default", "DEFAULT", "IMAGENET1K_V1", "ResNet18_Weights.IMAGENET1K_V1"):
        found = published_weights("torchvision:resnet18", word)
        assert found.entry == "ResNet18_Weights.IMAGENET1K_V1"
        assert fetch(found) == file
    assert (found.mean, found.std) == IMAGENET
    assert found.said == "224 pixels of 256, 69.8 % right on ImageNet as published"
    network = build_model("torchvision:resnet18", num_classes=1000, image_size=64)
    load_weights(network, found.renamed(read_checkpoint(file).weights), source="it")
    assert torch.equal(network.layer3[0].conv1.weight, own.layer3[0].conv1.weight)


def test_old_names_and_further_classifiers_are_understood():
    renamed = published_weights("torchvision:densenet121", "default").renamed
    old = {"features.denseblock1.denselayer12.norm.1.weight": torch.ones(1), "aux1.fc1.weight": torch.ones(1)}
    assert list(renamed(old)) == ["features.denseblock1.denselayer12.norm1.weight"]


def test_weights_that_cannot_be_had_are_a_sentence(published):
    file = published({"fc.weight": torch.ones(1)}, digest="-00000000")
    wanted = published_weights("torchvision:resnet18", "default")
    with pytest.raises(InputError, match=r"resnet18-00000000\.pth is damaged or another file: .*begin with 00000000"):
        fetch(wanted)
    file.unlink()
    with pytest.raises(InputError) as refused:
        fetch(wanted)
    assert f"there is no {file}, and https://nowhere.invalid/models/{file.name} cannot be fetched" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("torchvision:resnet19", {}, r"unknown network of torchvision 'resnet19' \(did you mean 'resnet18'\?\)"),
        ("tochvision:resnet18", {}, r"unknown library of networks 'tochvision' \(did you mean 'torchvision'\?\)"),
        ("torchvision:resnet18", {"in_channels": 1}, "takes images of 3 channels, got 1"),
        ("torchvision:resnet18", {"width": 8}, "has the width that it has: `width` must be None, got 8"),
    ],
)
def test_a_network_that_cannot_be_is_a_sentence(name, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        build_model(name, **{"num_classes": 5, **settings})


def test_an_unknown_entry_names_those_that_there_are():
    with pytest.raises(InputError, match="known: IMAGENET1K_V1, IMAGENET1K_V2, default"):
        published_weights("torchvision:resnet50", "V3")


def test_what_needs_timm_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"need the package timm, which is not installed: pip install"):
        build_model("timm:resnet18", num_classes=5)


def test_a_network_of_timm_is_its_own_and_its_weights_are_looked_for_in_both_caches(tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    torch.manual_seed(0)
    network = build_model("timm:resnet18", num_classes=5, in_channels=1, image_size=64).eval()
    torch.manual_seed(0)
    own = timm.create_model("resnet18", num_classes=5, in_chans=1).eval()
    network.normalise.set_statistics(0.0, 1.0)
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(network(images), own(images))
    found = published_weights("timm:resnet18", "tv_in1k")
    assert (found.entry, found.said) == ("tv_in1k", "224 pixels of 256")
    assert published_weights("timm:resnet18", "default").entry == "a1_in1k"
    folder = tmp_path / "hub" / "models--timm--resnet18.tv_in1k" / "snapshots" / "0"
    assert found.places[0] == folder.parent / "main" / "model.safetensors"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"")
    assert fetch(published_weights("timm:resnet18", "tv_in1k")) == folder / "model.safetensors"
    with pytest.raises(InputError, match=r"unknown weights 'tv' of timm:resnet18; known: default, "):
        published_weights("timm:resnet18", "tv")
    with pytest.raises(InputError, match=r"unknown network of timm 'resnet18x' \(did you mean 'resnet18'"):
        build_model("timm:resnet18x", num_classes=5)


def test_the_digest_of_an_architecture_is_that_of_the_library_s_files():
    assert architecture_digest("torchvision:resnet18") == architecture_digest("torchvision:resnet50")
    assert architecture_digest("torchvision:resnet18") != architecture_digest("torchvision:alexnet")
