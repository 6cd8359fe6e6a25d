import pytest
import torch
from safetensors.torch import save_file

from engine.errors import InputError
from engine.layers import PushPull2d
from engine.models import build_model
from engine.stages import StageSpec, check_weights, prepare_weights
from engine.stages.network import load_network


def make_model(**settings):
    torch.manual_seed(0)
    return build_model("resnet-8", **{"num_classes": 10, "in_channels": 1, "image_size": 16, "width": 4, **settings})


def save_as_the_authors_do(path, model):
    """Write a model under the authors' names: in a push–pull layer the kernel is `push.weight`."""
    push_pull = isinstance(model.conv1, PushPull2d)
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("normalise")}
    if push_pull:
        weights["conv1.push.weight"] = weights.pop("conv1.weight")
    torch.save({"epoch": 3, "state_dict": weights, "best_prec1": 91.0}, path)
    return path


@pytest.fixture
def model_file(tmp_path):
    model = make_model()
    model.normalise.set_statistics(0.25, 0.5)
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    return model, tmp_path / "mine.safetensors"


def from_weights(workshop, weights, **settings):
    settings = {"model.name": "resnet-8", "model.width": 4, "push_pull.where": "none", **weights.settings(), **settings}
    return workshop.plan(**{path.replace(".", "__"): value for path, value in settings.items()})


def test_a_trial_starts_from_the_weights_of_a_file_and_goes_on(workshop, model_file):
    model, path = model_file
    weights = prepare_weights(path, workshop.store)
    path.unlink()  # the store is all that is needed from here on
    plan = from_weights(workshop, weights)
    check_weights(plan, workshop.store)
    outcomes = workshop.run(plan)
    assert [outcome.spec.stage for outcome in outcomes] == ["init", "rank", "finetune", "evaluate"]
    network = load_network(outcomes[0].artifact, None, workshop.device)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in model.state_dict().items())
    tuned = load_network(outcomes[0].artifact, outcomes[2].artifact, workshop.device)
    assert not torch.equal(tuned.conv1.weight, model.conv1.weight)
    assert outcomes[0].artifact.history == []
    assert all(outcome.from_store for outcome in workshop.run(plan))


def test_the_key_is_the_content_s_and_not_the_file_s(workshop, model_file, tmp_path):
    model, path = model_file
    first = prepare_weights(path, workshop.store)
    path.rename(tmp_path / "other.safetensors")
    assert prepare_weights(tmp_path / "other.safetensors", workshop.store).key == first.key
    with torch.no_grad():
        model.fc.bias[0] += 1
    save_file(model.state_dict(), path)
    second = prepare_weights(path, workshop.store)
    assert second.key != first.key
    keys = [from_weights(workshop, weights).stages[0].key for weights in (first, second)]
    assert keys[0] != keys[1]
    inhibited = [from_weights(workshop, first, **{"push_pull.where": "first", "push_pull.h": h}) for h in (1.5, 2.0)]
    assert len({*keys, *(plan.stages[0].key for plan in inhibited)}) == 4


def test_an_authors_file_decides_the_architecture_unless_it_is_given(workshop, tmp_path):
    model = make_model(push_pull={"where": "first"})
    weights = prepare_weights(save_as_the_authors_do(tmp_path / "net.pth.tar", model), workshop.store)
    assert weights.settings() == {
        "model.weights": weights.key,
        "model.name": "resnet-8",
        "model.width": 4,
        "push_pull.where": "first",
        "push_pull.h": 2.0,
        "push_pull.alpha": 1.0,
        "push_pull.learn_alpha": None,
    }
    assert "push_pull.h" not in weights.settings(given={"push_pull.h", "model.width"})
    plain = prepare_weights(save_as_the_authors_do(tmp_path / "plain.pth.tar", make_model()), workshop.store)
    assert plain.settings()["push_pull.where"] == "none"
    outcome = workshop.run(from_weights(workshop, weights, **{"push_pull.alpha": 0.5}))[0]
    network = load_network(outcome.artifact, None, workshop.device)
    assert torch.equal(network.conv1.weight, model.conv1.weight)
    assert float(network.conv1.alpha) == 0.5


def test_what_weights_go_without_is_the_data_s_or_the_layer_s_own(workshop, tmp_path):
    state = {name: value for name, value in make_model().state_dict().items() if not name.startswith("normalise")}
    save_file(state, tmp_path / "bare.safetensors")
    weights = prepare_weights(tmp_path / "bare.safetensors", workshop.store)
    learned = {"push_pull.where": "first", "push_pull.learn_alpha": "kernel", "push_pull.alpha": 0.7}
    plan = from_weights(workshop, weights, **learned)
    check_weights(plan, workshop.store)
    network = load_network(workshop.run(plan)[0].artifact, None, workshop.device)
    images = workshop.data.train.images.float() / 255
    torch.testing.assert_close(network.normalise.mean, images.mean((0, 2, 3)))
    torch.testing.assert_close(network.conv1.alpha, torch.full((4,), 0.7))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            {"model.name": "resnet-14"},
            r"mine.safetensors for a network resnet-14 do not fit: layer1.1.conv1.weight is mis",
        ),
        ({"model.name": "cnn-2", "finetune.layers": "all"}, "network cnn-2 do not fit: .*and [0-9]+ more"),
        ({"model.width": 8}, r"conv1.weight has shape \(4, 1, 3, 3\) instead of \(8, 1, 3, 3\)"),
        ({"data.channels": 3}, r"conv1.weight has shape \(4, 1, 3, 3\) instead of \(4, 3, 3, 3\)"),
        ({"model.weights": "ab" * 16}, "the store has no weights abab"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_named(workshop, model_file, settings, match):
    plan = from_weights(workshop, prepare_weights(model_file[1], workshop.store), **settings)
    with pytest.raises(InputError, match=match):
        check_weights(plan, workshop.store)


def test_the_sentence_names_the_file_that_was_given(workshop, model_file, tmp_path):
    model, path = model_file
    prepare_weights(path, workshop.store)
    torch.save({"net": model.state_dict()}, tmp_path / "yours.pth")
    weights = prepare_weights(tmp_path / "yours.pth", workshop.store)
    with pytest.raises(InputError, match=r"the weights in .*/yours.pth for a network resnet-14 do not fit"):
        check_weights(from_weights(workshop, weights, **{"model.name": "resnet-14"}), workshop.store)


def test_weights_for_images_of_other_channels_are_named_as_such(workshop, model_file):
    """Its own statistics, which have other shapes then, are not what differs."""
    _, path = model_file
    weights = prepare_weights(path, workshop.store)
    plan = from_weights(workshop, weights, **{"data.channels": 3})
    with pytest.raises(
        InputError,
        match=r"do not fit: conv1.weight has shape \(4, 1, 3, 3\) instead of \(4, 3, 3, 3\); they are for images of 1 "
        r"channel \(data.channels=1\)$",
    ):
        check_weights(plan, workshop.store)


def test_a_file_of_torch_s_with_the_names_of_any_network_will_do(workshop, tmp_path):
    torch.manual_seed(0)
    model = build_model("cnn-2", num_classes=10, in_channels=1, image_size=16)
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in model.state_dict().items()}}, tmp_path / "a.pt"
    )
    weights = prepare_weights(tmp_path / "a.pt", workshop.store)
    assert weights.settings() == {"model.weights": weights.key}
    plan = from_weights(workshop, weights, **{"model.name": "cnn-2", "model.width": None, "finetune.layers": "all"})
    check_weights(plan, workshop.store)
    network = load_network(workshop.run(plan)[0].artifact, None, workshop.device)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_network_of_the_person_s_own_is_not_decided_by_a_file(workshop, tmp_path):
    weights = prepare_weights(save_as_the_authors_do(tmp_path / "net.pth.tar", make_model()), workshop.store)
    assert weights.settings(given={"model.name": "mine"}) == {"model.weights": weights.key}
    assert weights.settings(given={"model.name": "resnet-8"})["model.width"] == 4


def test_averaged_weights_are_taken_and_said(workshop, tmp_path):
    state = make_model().state_dict()
    torch.save({"model": {name: 2 * value for name, value in state.items()}, "model_ema": state}, tmp_path / "a.pt")
    weights = prepare_weights(tmp_path / "a.pt", workshop.store)
    assert weights.notes == (f"of {tmp_path / 'a.pt'} the averaged weights are taken, `model_ema`",)
    save_file(state, tmp_path / "a.safetensors")
    alone = prepare_weights(tmp_path / "a.safetensors", workshop.store)
    assert (alone.key, alone.notes) == (weights.key, ())


def test_a_trial_that_is_pretrained_needs_no_weights(workshop):
    plan = workshop.plan()
    check_weights(plan, workshop.store)
    assert all(isinstance(spec, StageSpec) and spec.stage != "init" for spec in plan)


def test_files_that_are_no_weights_are_refused(workshop, tmp_path, model_file):
    with pytest.raises(InputError, match=r"there is no file of weights .*none.safetensors"):
        prepare_weights(tmp_path / "none.safetensors", workshop.store)
    with pytest.raises(InputError, match=r"there is no checkpoint file .*none.pth"):
        prepare_weights(tmp_path / "none.pth", workshop.store)
    path = model_file[1]
    for size in (0, 5, path.stat().st_size // 2):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(path.read_bytes()[:size])
        with pytest.raises(InputError, match=r"cut.safetensors cannot be read as safetensors"):
            prepare_weights(cut, workshop.store)
