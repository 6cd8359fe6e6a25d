"""Networks of RobustBench's zoo, by a stand-in with its interface: normalised once, loaded as it loads them."""

import sys

import pytest
import torch

from engine.errors import InputError
from engine.layers import PushPull2d
from engine.models import build_model
from engine.models.libraries import architecture_digest, published_weights
from engine.models.weights import load_weights
from engine.ranking import filter_layers
from engine.stages import prepare_weights
from engine.store import Store
from engine.training.selective import classifier_name
from tests.engine.models import robustbench_stand_in as stand_in

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
INSIDE, WRAPPED, DECK = (f"cifar10/corruptions/{name}" for name in ("Own2020Inside", "Own2021Wrapped", "Own2022Deck"))


@pytest.fixture
def models(tmp_path, monkeypatch):
    architecture_digest.cache_clear()
    yield stand_in.install(tmp_path, monkeypatch)
    stand_in.remove()
    architecture_digest.cache_clear()


@pytest.mark.parametrize("name", [INSIDE, WRAPPED, DECK])
def test_a_network_with_its_stored_weights_answers_as_the_zoo_s_own(models, tmp_path, name):
    own = stand_in.save(models, name)
    store = Store(tmp_path / "store")
    given = prepare_weights("default", store, network=f"robustbench:{name}")
    network = build_model(f"robustbench:{name}", num_classes=10).eval()
    assert not hasattr(network, "normalise"), "it would be normalised twice"
    load_weights(network, store.find(given.key).tensors("model"), source="it")
    with torch.no_grad():
        assert torch.equal(network(IMAGES), own(IMAGES))
    assert ("probabilities" in " ".join(given.notes)) == (name == DECK)
    assert f"robustbench:{name} with the weights model zoo: it normalises its input itself" in given.notes[0]


def test_short_names_layers_and_push_pull(models):
    assert list(filter_layers(build_model("robustbench:Own2020Inside", num_classes=10))) == ["conv1", "conv2"]
    wrapped = build_model("robustbench:cifar10/Own2021Wrapped", num_classes=10, push_pull={"where": "first"})
    assert isinstance(wrapped.model.conv1, PushPull2d)
    assert build_model("robustbench:cifar10/Linf/Own2023Plain", num_classes=10).conv1.out_channels == 4
    with torch.device("meta"):
        network = build_model("robustbench:Own2020Inside", num_classes=10)
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_classifier_of_another_size_is_a_new_one(models):
    network = build_model("robustbench:cifar10/Own2021Wrapped", num_classes=4).eval()
    assert classifier_name(network) == "model.fc"
    assert network(IMAGES).shape == (3, 4)
    with pytest.raises(InputError, match=r"Deck has 10 classes, the images have 4, .* are first\.fc, second\.fc"):
        build_model("robustbench:Own2022Deck", num_classes=4)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "Own2020Insid",
            "unknown network of robustbench 'Own2020Insid' of cifar10/corruptions .did you mean 'cifar10/",
        ),
        ("Own2023Plain", r"did you mean 'cifar10/Linf/Own2023Plain'\?"),
        ("cifar11/Own2020Inside", r"unknown data set of robustbench 'cifar11' .did you mean 'cifar10'"),
        ("cifar10/L2/Own2020Inside", "unknown threat model of robustbench:cifar10 'L2'"),
        ("imagenet/Standard_R50", "is another library's network, which RobustBench fetches wherever it is built: give"),
    ],
)
def test_a_network_that_cannot_be_is_a_sentence(models, name, sentence):
    with pytest.raises(InputError, match=sentence):
        build_model(f"robustbench:{name}", num_classes=10)
    if "Standard" in name:
        with pytest.raises(InputError, match=sentence):
            published_weights(f"robustbench:{name}", "default").load()


def test_grey_images_and_other_entries_are_refused(models):
    with pytest.raises(InputError, match="takes images of 3 channels, got 1"):
        build_model("robustbench:Own2020Inside", num_classes=10, in_channels=1)
    with pytest.raises(InputError, match="unknown weights of robustbench:Own2020Inside 'best'; known: default"):
        published_weights("robustbench:Own2020Inside", "best")


def test_weights_that_cannot_be_had_or_would_run_code_are_a_sentence(models, monkeypatch):
    wanted = published_weights(f"robustbench:{INSIDE}", "default")
    with pytest.raises(InputError) as refused:
        wanted.load()
    file = models / f"{INSIDE}.pt"
    assert f"there is no {file}, and RobustBench cannot fetch it (no network here); put the file there" in str(
        refused.value
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {}, "hook": stand_in.install}, file)  # a function, by its name
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(InputError, match=r"Own2020Inside\.pt cannot be read .*[Ww]eights"):
        wanted.load()


def test_a_network_that_timm_has_is_built_without_its_weights(models, monkeypatch):
    timm = pytest.importorskip("timm")
    asked = {}

    def create(name, **settings):
        asked.update(settings, name=name)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.LazyLinear(10))

    monkeypatch.setattr(timm, "is_model", lambda name: name == "own2020inside_cifar10_corruptions")
    monkeypatch.setattr(timm, "create_model", create)
    build_model("robustbench:Own2020Inside", num_classes=10)
    assert asked == {"name": "own2020inside_cifar10_corruptions", "pretrained": False, "num_classes": 10}


def test_the_digest_follows_layers_and_builders(models):
    digests = {architecture_digest(f"robustbench:{name}") for name in ("Own2020Inside", "cifar10/Linf/Own2023Plain")}
    assert len(digests) == 2, "one is a class, the other is put together in the zoo"


class Hidden:
    """Finds no package of the name, though there may be one."""

    def find_spec(self, name, *_):
        if name == "robustbench":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_what_needs_robustbench_says_so(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])
    with pytest.raises(InputError, match="need the package robustbench, which is not installed: pip install robustben"):
        build_model("robustbench:Standard", num_classes=10)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "import gone_with_the_wind",
            "robustbench, which needs gone_with_the_wind, which is not installed: pip install g",
        ),
        ("import autoattack", "which needs autoattack, which is not installed: pip install git.https://"),
        (
            "from torch.nn import Gone",
            "the installed package robustbench cannot be imported: cannot import name 'Gone'",
        ),
        ("import torch.gone", "the installed package robustbench cannot be imported: No module named 'torch.gone'"),
    ],
)
def test_a_package_that_is_not_whole_says_what_is_missing(models, line, sentence):
    file = models.parent / "robustbench" / "__init__.py"
    file.write_text(f"{line}\n")
    with pytest.raises(InputError, match=sentence):
        build_model("robustbench:Standard", num_classes=10)
