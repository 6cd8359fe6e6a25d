"""A network, whatever it is, is the same one in each of its formats; and each fault is a sentence."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from engine import load_exported
from engine.errors import InputError
from engine.exporting import FORMATS, export_folder, export_network
from engine.exporting.export_folder import TOLERANCE
from engine.exporting.portable import fixed
from engine.models import model_names
from engine.stages.network import build_network, to_device
from engine.training.correction import CorrectedFilters

PLAIN = None
FIXED = {"where": "first", "h": 2.0, "alpha": 0.7, "learn_alpha": None}
PLACEBO = {"where": "first", "h": 1.0, "alpha": 0.7, "learn_alpha": None}
OF_KERNELS = {"where": "first", "h": 2.0, "alpha": 0.7, "learn_alpha": "kernel"}
SUCCESSOR = {"where": "first", "variant": "2024", "average": 3, "alpha": 0.7, "learn_alpha": "kernel"}
OF_LAYERS = {"where": "all", "h": 1.5, "alpha": 0.7, "learn_alpha": "layer"}
FAMILIES = {
    "lenet-d": SUCCESSOR,
    "resnet-8": OF_LAYERS,
    "densenet-bc-10-4": OF_KERNELS,
    "allconv": FIXED,
    "alexnet-cifar": PLACEBO,
    "cnn-2": PLAIN,
}
"""A small one of each, with layers of another kind: what turns a network into a program takes seconds."""
OUTSIDE = re.compile(r"sin|cos|exp|log|softplus|matmul")
"""What upsampling and strength are computed with; a network that only runs has none of it."""


def settings_of(name: str, push_pull: dict | None, **others) -> dict:
    width = None if name.startswith("densenet") else 4
    sizes = {"width": width, "num_classes": 3, "in_channels": 1, "image_size": 16}
    return {"name": name, **sizes, "push_pull": push_pull, **others}


def network_of(settings: dict, *, seed: int = 1) -> nn.Module:
    """Return a network as training leaves one: statistics and strengths are no longer those that it began with."""
    network = build_network(settings, seed=seed)
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.named_buffers():
            if name.endswith("mean"):
                value.copy_(0.1 * torch.randn(value.shape, generator=draws))
            elif name.endswith(("var", "std")):
                value.copy_(0.5 + torch.rand(value.shape, generator=draws))
        for name, value in network.named_parameters():
            if name.endswith("alpha"):
                value.copy_(torch.randn(value.shape, generator=draws))
    return to_device(network, torch.device("cpu")).eval()


def images_of(settings: dict, n: int = 5) -> torch.Tensor:
    side = settings["image_size"]
    return torch.rand(n, settings["in_channels"], side, side, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("push_pull", [FIXED, OF_KERNELS], ids=["fixed", "kernel"])
@pytest.mark.parametrize("name", model_names())
def test_what_is_loaded_has_the_same_bits(name, push_pull, tmp_path):
    settings = settings_of(name, push_pull)
    network = network_of(settings)
    (file,) = export_network(network, tmp_path / "it", settings=settings, about={}, formats=["safetensors"]).files
    assert file.difference == 0.0
    loaded = load_exported(tmp_path / "it")
    assert not loaded.training
    assert loaded.state_dict().keys() == network.state_dict().keys()
    images = images_of(settings)
    with torch.no_grad():
        assert torch.equal(loaded(images), network(images))
        assert (network(images).std(0) > 0).all(), "a network that tells no images apart shows nothing"
        assert not torch.equal(network_of(settings, seed=3).eval()(images), network(images))


@pytest.mark.parametrize(("name", "push_pull"), FAMILIES.items(), ids=list(FAMILIES))
def test_a_network_is_the_same_in_every_format(name, push_pull, tmp_path):
    settings = settings_of(name, push_pull)
    network = network_of(settings)
    exported = export_network(network, tmp_path / "it", settings=settings, about={"classes": ["a", "b", "c"]})
    assert exported.left_out == ()
    assert [file.file for file in exported.files] == ["model.safetensors", "model.pt2", "model.onnx"]
    program = torch.export.load(tmp_path / "it" / "model.pt2").module()
    session = onnxruntime.InferenceSession(tmp_path / "it" / "model.onnx", providers=["CPUExecutionProvider"])
    for n in (1, 2, 7):
        images = images_of(settings, n)
        with torch.no_grad():
            expected = network(images)
            largest = expected.abs().max()
            assert (program(images) - expected).abs().max() <= TOLERANCE * largest
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        assert logits.shape == (n, 3)
        assert (torch.from_numpy(logits) - expected).abs().max() <= TOLERANCE * largest


def test_a_program_has_kernels_and_strengths_as_they_are(tmp_path):
    for push_pull in (FIXED, PLACEBO, OF_KERNELS, OF_LAYERS):
        settings = settings_of("resnet-8", push_pull)
        network, images = network_of(settings), images_of(settings_of("resnet-8", None))
        with torch.no_grad():
            assert torch.equal(fixed(network)(images), network(images))
        graph = torch.export.export(fixed(network), (images,)).graph
        called = {str(node.target) for node in graph.nodes if node.op == "call_function"}
        assert any("conv2d" in name for name in called)
        assert not [name for name in called if OUTSIDE.search(name)]
    assert any(parameter.requires_grad for parameter in network.parameters()), "the network itself stays as it was"


def test_correction_units_travel_with_the_network(tmp_path):
    settings = settings_of("resnet-8", FIXED)
    network = network_of(settings)
    tuned = CorrectedFilters(network, {"conv1": torch.tensor([0, 2])}, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tuned.units[0].second.weight.fill_(0.1)
    written = export_network(network, tmp_path / "it", settings=settings, about={}, formats=["safetensors", "pt2"])
    assert written.files[0].difference == 0.0
    images, plain = images_of(settings), network_of(settings)
    to_device(network, torch.device("cpu"))
    with torch.no_grad():
        assert torch.equal(load_exported(tmp_path / "it")(images), network(images))
        assert not torch.equal(plain(images), network(images))


def test_the_folder_says_what_the_network_is_and_its_example_runs(tmp_path):
    settings = settings_of("lenet-d", FIXED)
    about = {"classes": ["a", "b", "c"]}
    written = export_network(network_of(settings), tmp_path / "it", settings=settings, about=about)
    config = json.loads((tmp_path / "it" / "config.json").read_text())
    assert (config["network"], config["classes"]) == (settings, ["a", "b", "c"])
    assert [each["file"] for each in config["files"]] == [each.file for each in written.files]
    for each in config["files"]:
        assert (tmp_path / "it" / each["file"]).stat().st_size == each["n_bytes"]
    model = onnx.load(tmp_path / "it" / "model.onnx")
    noted = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(noted["robustune.classes"]) == ["a", "b", "c"]
    (batch, *_), (there, _) = (
        value.type.tensor_type.shape.dim for value in (model.graph.input[0], model.graph.output[0])
    )
    assert batch.dim_param == there.dim_param == "batch"
    example = tmp_path / "it" / "example.py"
    assert len(example.read_text().splitlines()) == 10
    done = subprocess.run(
        [sys.executable, example], env={"PYTHONPATH": str(Path(export_folder.__file__).parents[2])}, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"tensor([[")


def test_without_its_packages_onnx_is_left_out_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(export_folder, "find_spec", lambda name: None)
    settings = settings_of("lenet-d", None)
    network = network_of(settings)
    written = export_network(network, tmp_path / "it", settings=settings, about={})
    assert [each.file for each in written.files] == ["model.safetensors", "model.pt2"]
    (sentence,) = written.left_out
    assert "needs onnx and onnxscript" in sentence
    assert "'robustune[onnx]'" in sentence
    with pytest.raises(InputError, match=r"the format onnx needs onnx and onnxscript.*robustune\[onnx\]"):
        export_network(network, tmp_path / "other", settings=settings, about={}, formats=["onnx"])
    assert not (tmp_path / "other").exists()


def test_without_onnxruntime_onnx_s_own_evaluator_compares(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    settings = settings_of("lenet-d", FIXED)
    (file,) = export_network(network_of(settings), tmp_path / "it", settings=settings, about={}, formats=["onnx"]).files
    assert file.compared_with == f"onnx {onnx.__version__}"
    assert file.difference <= TOLERANCE
    assert sorted(path.name for path in (tmp_path / "it").iterdir()) == ["config.json", "model.onnx"]


class _Moody(nn.Module):
    """What no program can be made of: a value decides the way."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(256, 3)

    def forward(self, images):
        return self.linear(images.flatten(1)) * (2 if images.mean() > 0.5 else 3)


def test_what_cannot_be_a_program_is_left_out_or_refused(tmp_path, monkeypatch):
    settings, network = settings_of("lenet-d", None), _Moody().eval()
    monkeypatch.setattr("engine.exporting.exported.build_network", lambda settings, seed: _Moody())
    written = export_network(network, tmp_path / "it", settings=settings, about={})
    assert [each.file for each in written.files] == ["model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "it").iterdir()) == [
        "config.json",
        "example.py",
        "model.safetensors",
    ]
    assert [re.match(r"the network cannot be written as (\w+): ", line)[1] for line in written.left_out] == [
        "pt2",
        "onnx",
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be written as pt2: "):
        export_network(network, tmp_path / "empty", settings=settings, about={}, formats=["safetensors", "pt2"])
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_file_that_is_not_the_network_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.exporting.portable.fixed", lambda network: network_of(settings, seed=9))
    settings = settings_of("lenet-d", None)
    with pytest.raises(
        InputError, match=r"as pt2: its logits there differ by .* of the largest one, and at most 0.0001"
    ):
        export_network(network_of(settings), tmp_path / "it", settings=settings, about={}, formats=["pt2"])
    assert not (tmp_path / "it").exists()


def test_where_nothing_can_be_written_it_says_so(tmp_path):
    settings = settings_of("lenet-d", None)
    network = network_of(settings)

    def refused(folder: Path, message: str, **options) -> None:
        with pytest.raises(InputError, match=message):
            export_network(network, folder, settings=settings, about={}, **options)

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    refused(tmp_path / "full", r"must be a new or an empty one, but has files: .*full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    refused(tmp_path / "full" / "mine.txt", r"but this is a file: .*mine.txt")
    refused(tmp_path / "nowhere" / "it", r"does not exist: .*nowhere")
    refused(Path("/proc/it"), r"cannot be written: /proc/it \(")
    refused(
        tmp_path / "it",
        r"unknown format 'onx' \(did you mean 'onnx'\?\); known: onnx, pt2, safetensors",
        formats=["onx"],
    )
    assert set(FORMATS) == {"safetensors", "pt2", "onnx"}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), InputError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_folder_that_was_begun_is_left_as_it_was(tmp_path, monkeypatch, there, error, raised):
    def write(*_) -> None:
        raise error

    settings, folder = settings_of("lenet-d", None), tmp_path / "it"
    ways = export_folder._FORMATS
    monkeypatch.setitem(ways, "pt2", dataclasses.replace(ways["pt2"], write=write))
    if there:
        folder.mkdir()
    with pytest.raises(raised) as caught:
        export_network(network_of(settings), folder, settings=settings, about={})
    if raised is InputError:
        assert str(caught.value).endswith("(No space left on device)")
    assert folder.exists() == there
    assert not there or list(folder.iterdir()) == []


def test_what_is_no_exported_network_is_a_sentence(tmp_path):
    settings = settings_of("lenet-d", None)
    export_network(network_of(settings), tmp_path / "it", settings=settings, about={}, formats=["safetensors"])
    folder, config = tmp_path / "it", json.loads((tmp_path / "it" / "config.json").read_text())

    def refused(message: str, **changed) -> None:
        (folder / "config.json").write_text(json.dumps({**config, **changed}))
        with pytest.raises(InputError, match=message):
            load_exported(folder)

    with pytest.raises(InputError, match=r"no exported network in .*nowhere: it has no config.json"):
        load_exported(tmp_path / "nowhere")
    refused("must be of format 1, which this version reads, got 2", format=2)
    refused("is not of an exported network", network=None)
    refused(
        r"cannot be built: unknown model 'mine'.*; import the module",
        network={**settings, "name": "mine", "source": "x"},
    )
    refused("are not of one network", network={**settings, "width": 5})
    refused("are not of one network", network={"name": "lenet-d"})
    refused("are not of one network", network={**settings, "name": "cnn-2"})
    (folder / "model.safetensors").write_bytes(b"torn")
    refused("model.safetensors cannot be read")
    (folder / "model.safetensors").unlink()
    refused("has no model.safetensors: it was exported without the format safetensors")


def run_alone(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a folder's example where nothing of this project can be imported, as where it is not installed."""
    hidden = (
        "import runpy, sys\n"
        "sys.modules['engine'] = None\n"  # what makes Python say that there is no such module
        f"runpy.run_path({str(folder / 'example.py')!r})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", hidden], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_example_needs_torch_alone_or_says_what_is_missing(tmp_path):
    settings = settings_of("cnn-2", PLAIN)
    network = network_of(settings)
    export_network(network, tmp_path / "both", settings=settings, about={}, formats=("safetensors", "pt2"))
    done = run_alone(tmp_path / "both")
    assert (done.returncode, "tensor([[" in done.stdout) == (0, True), done.stderr
    export_network(network, tmp_path / "weights", settings=settings, about={}, formats=("safetensors",))
    done = run_alone(tmp_path / "weights")
    assert done.returncode == 1
    assert done.stderr.startswith("model.safetensors needs robustune, which is not installed here: ")
    assert len(done.stderr.splitlines()) == 1
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "both").iterdir()}
    assert len(modes) == 4
    assert len(set(modes.values())) == 1, modes
