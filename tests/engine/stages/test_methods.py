"""What a trial tunes: filters by other rules, and what they are compared with."""

import pytest
import torch

from engine.errors import InputError
from engine.metrics import as_input, classification_error
from engine.metrics.classification import error_and_loss
from engine.ranking import borda_count, filter_distances, paired_distances
from engine.ranking.gradients import measure_parts
from engine.stages import finetune
from engine.stages.network import load_network
from engine.stages.noisy import distorted, noisy_and_clean, noisy_sets
from engine.training import CutNetwork

CPU = torch.device("cpu")


def artifacts_of(workshop, **settings):
    return {outcome.spec.stage: outcome.artifact for outcome in workshop.run(workshop.plan(**settings))}


def states(artifacts) -> tuple[dict, dict]:
    """Return the state dicts of the network before and after fine-tuning."""
    tuned = load_network(artifacts["pretrain"], artifacts["finetune"], CPU)
    return load_network(artifacts["pretrain"], None, CPU).state_dict(), tuned.state_dict()


def moved(before: dict, after: dict) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_the_classifier_alone_is_tuned(workshop):
    artifacts = artifacts_of(workshop, finetune__method="classifier")
    assert moved(*states(artifacts)) == {"fc.weight", "fc.bias"}
    assert artifacts["finetune"].json("result")["n_trained"] == 16 * 10 + 10
    assert artifacts["finetune"].json("filters") == {}


@pytest.mark.parametrize("batch_norm", ["frozen", "affine", "full"])
def test_the_whole_network_is_tuned(workshop, batch_norm):
    artifacts = artifacts_of(workshop, finetune__method="network", finetune__batch_norm=batch_norm)
    before, after = states(artifacts)
    ends = {"frozen": (), "affine": ("weight", "bias"), "full": ("weight", "bias", "running_mean", "running_var")}
    norms = {name for name in before if ".bn" in name or name.startswith("bn") or "downsample.1" in name}
    still = {name for name in norms if name.rpartition(".")[2] not in ends[batch_norm]}
    expected = {name for name in before if not name.startswith("normalise")} - still
    assert moved(before, after) - {"bn1.num_batches_tracked"} >= {"conv1.weight", "fc.bias", "layer3.0.conv2.weight"}
    assert moved(before, after) <= expected | {name for name in norms if name.endswith("num_batches_tracked")}
    assert bool(moved(before, after) & norms) == (batch_norm != "frozen")


def test_a_block_is_tuned_and_nothing_else_moves(workshop):
    artifacts = artifacts_of(workshop, finetune__unit="block", finetune__which="all", finetune__layers="layer2")
    kernels = {f"layer2.0.{name}.weight" for name in ("conv1", "conv2", "downsample.0")}
    assert moved(*states(artifacts)) == kernels
    assert artifacts["finetune"].json("result")["n_trained"] == 4 * 8 * 9 + 8 * 8 * 9 + 4 * 8
    assert set(artifacts["finetune"].json("parts")["all"]) == kernels
    assert artifacts["finetune"].json("filters") == {}
    with_norms = artifacts_of(
        workshop,
        finetune__unit="layer",
        finetune__which="all",
        finetune__layers="layer2.0.conv1",
        finetune__batch_norm="affine",
    )
    norm = {"layer2.0.bn1.weight", "layer2.0.bn1.bias"}
    assert moved(*states(with_norms)) == {"layer2.0.conv1.weight", *norm}


def test_all_blocks_are_the_whole_network(workshop):
    whole = artifacts_of(workshop, finetune__method="network", finetune__batch_norm="affine")
    blocks = artifacts_of(
        workshop, finetune__unit="block", finetune__which="all", finetune__layers="all", finetune__batch_norm="affine"
    )
    (_, one), (_, other) = states(whole), states(blocks)
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-6)
    assert blocks["finetune"].json("result")["n_trained"] == whole["finetune"].json("result")["n_trained"]


def test_blocks_are_ranked_by_the_votes_on_their_filters_mean_distances(workshop):
    settings = {"finetune__unit": "block", "finetune__layers": "layer*", "finetune__count": 2, "rank__distance": "l1"}
    artifacts = artifacts_of(workshop, **settings)
    network = load_network(artifacts["pretrain"], None, CPU)
    noisy, clean, _ = noisy_and_clean(workshop.data, {"name": "awgn", "level": 25.0, "n_images": 20}, seed=0)
    found = paired_distances(network, clean.images, noisy.images, None, distance="l1")
    layers = {
        "layer1": ["conv1", "layer1.0.conv1", "layer1.0.conv2"],
        "layer2": ["layer2.0.conv1", "layer2.0.conv2"],
        "layer3": ["layer3.0.conv1", "layer3.0.conv2"],
    }
    votes = torch.stack([torch.cat([found[name] for name in own], 1).mean(1) for own in layers.values()], 1)
    points = torch.zeros(3)
    for vote in votes:
        for place, block in enumerate(sorted(range(3), key=lambda i: -float(vote[i]))):
            points[block] += 10 - place
    order = sorted(range(3), key=lambda i: (-float(points[i]), -float(votes[:, i].mean())))
    assert artifacts["rank"].json("units")["points"] == points.tolist()
    assert list(artifacts["finetune"].json("parts")) == [list(layers)[place] for place in order[:2]]
    above = sorted(votes.mean(0).tolist())
    only = {**settings, "finetune__threshold": (above[-1] + above[-2]) / 2}
    del only["finetune__count"]
    assert len(artifacts_of(workshop, **only)["finetune"].json("parts")) == 1


@pytest.mark.parametrize("by", ["gradient", "fisher"])
def test_parts_are_ranked_by_gradients_of_the_images_that_are_trained_on(workshop, by):
    settings = {"finetune__unit": "block", "finetune__layers": "all", "finetune__count": 1, "rank__by": by}
    artifacts = artifacts_of(workshop, **settings, finetune__batch_norm="affine")
    network = load_network(artifacts["pretrain"], None, CPU)
    trained_on = noisy_sets(workshop.data, artifacts["finetune"].manifest["spec"]["settings"], seed=0).trained_on
    kernels = {
        "layer1": ["conv1", "layer1.0.conv1", "layer1.0.conv2"],
        **{f"layer{i}": [f"layer{i}.0.{name}" for name in ("conv1", "conv2", "downsample.0")] for i in (2, 3)},
    }
    groups = {block: [f"{name}.weight" for name in names] for block, names in kernels.items()}
    groups["fc"] = ["fc.weight", "fc.bias"]
    expected = measure_parts(network, trained_on, groups, by=by, by_row=False)
    found = artifacts["rank"].json("units")
    assert found["points"] == pytest.approx([float(value) for value in expected.values()])
    assert (found["rule"], found["n_images"]) == (by, 16)
    largest = max(expected, key=lambda block: float(expected[block]))
    assert list(artifacts["finetune"].json("parts")) == [largest]


def test_filters_of_all_layers_are_ranked_by_gradients_together(workshop):
    artifacts = artifacts_of(workshop, rank__by="gradient", finetune__across_layers=True, finetune__count=3)
    ranked = artifacts["rank"].json("ranking")
    values = {(layer, i): value for layer, found in ranked.items() for i, value in enumerate(found["points"])}
    chosen = {(layer, i) for layer, own in artifacts["finetune"].json("filters").items() for i in own}
    assert chosen == set(sorted(values, key=values.__getitem__, reverse=True)[:3])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"finetune__layers": "all"}, r"block 'fc' has no filters .* \(layer1, layer2, layer3 can be ranked\)"),
        ({"finetune__layers": "layer1", "finetune__count": 2}, r"`finetune.count` = 2 selects 2 of the 1 blocks"),
        ({"finetune__layers": "layer1"}, r"`finetune.fraction` = 0.25 selects 0 of the 1 blocks"),
        ({"finetune__layers": "layer1,layer1.0"}, r"'layer1' and 'layer1.0', which both have 'layer1.0.conv1.weight'"),
        ({"finetune__layers": "layer4"}, r"unknown block for `finetune.layers` 'layer4' \(did you mean 'layer3'"),
        ({"finetune__layers": "first-9"}, "K from 1 to the network's 4 blocks, got 'first-9'"),
        ({"finetune__layers": " , "}, "must be first, all, first-K or names of blocks"),
        ({"finetune__layers": "bn1", "finetune__which": "all"}, "block 'bn1' .* has nothing to tune but normalisation"),
        (
            {"finetune__layers": "bn1,fc", "finetune__batch_norm": "affine", "rank__by": "fisher"},
            "block 'bn1' has normalisations alone, which `rank.by`=fisher does not measure",
        ),
        (
            {"finetune__rates": "gradient", "finetune__batch_norm": "affine"},
            "`finetune.rates`=gradient has no learning rate for γ and β: .*, got affine",
        ),
        ({"finetune__method": "correction"}, "it needs `finetune.unit`=filter, got block"),
    ],
)
def test_parts_that_cannot_be_tuned_are_refused_before_anything_runs(workshop, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        workshop.plan(finetune__unit="block", **settings)


@pytest.mark.parametrize("method", ["statistics", "tent"])
def test_batch_normalisation_is_adapted_without_labels(workshop, method):
    settings = {"finetune__method": method, "distortion__n_images": 3, "finetune__training__epochs": 3}
    artifacts = artifacts_of(workshop, **settings)
    before, after = states(artifacts)
    ends = {"statistics": set(), "tent": {"weight", "bias"}}[method] | {"running_mean", "running_var"}
    assert {name.rpartition(".")[2] for name in moved(before, after)} == ends
    assert not any("conv" in name or name.startswith("fc") for name in moved(before, after))
    result = artifacts["finetune"].json("result")
    n_epochs = {"statistics": 1, "tent": 3}[method]
    assert (result["epochs"], result["best_epoch"]) == (n_epochs, n_epochs), "the last one, which no label has chosen"
    factors = sum(before[name].numel() for name in before if "running_" in name)
    assert result["n_trained"] == {"statistics": 0, "tent": factors}[method]
    for noted in (result["labelled_noisy"], artifacts["evaluate"].json("errors")["labelled_noisy"]):
        assert (noted["labelled"], noted["unlabelled"]) == (0, 3)
    epoch = artifacts["finetune"].history[-1]
    if method == "statistics":
        network = load_network(artifacts["pretrain"], artifacts["finetune"], CPU)
        assert epoch["validation_error"] == classification_error(network, workshop.data.validation)
    assert "tuned_distortion_error" in epoch


def test_a_network_without_batch_normalisation_cannot_be_adapted(workshop):
    for method in ("statistics", "tent"):
        with pytest.raises(InputError, match=rf"`finetune.method`={method} adapts .*, and network 'cnn-2' has none"):
            workshop.plan(model__name="cnn-2", finetune__method=method, finetune__layers="all")


def test_correction_units_leave_the_network_as_it_is(workshop):
    artifacts = artifacts_of(workshop, finetune__method="correction", finetune__count=2)
    before, after = states(artifacts)
    assert moved(before, after) == set()
    added = sum(value.numel() for name, value in after.items() if name not in before and not name.endswith("filters"))
    assert artifacts["finetune"].json("result")["n_trained"] == added == 3 * 2 * (9 * 2**2 + 2)
    filters, ranking = artifacts["finetune"].json("filters"), artifacts["rank"].json("ranking")
    assert filters == {layer: found["order"][:2] for layer, found in ranking.items()}


def test_retraining_starts_from_random_weights_and_sees_noisy_images_alone(workshop):
    plan = workshop.plan(finetune__method="retrain", distortion__n_images=40, pretrain__epochs=8)
    artifacts = {outcome.spec.stage: outcome.artifact for outcome in workshop.run(plan)}
    assert set(artifacts) == {"pretrain", "evaluate"}
    distortion = {"name": "awgn", "level": 25.0, "n_images": 40}
    held_out = noisy_sets(workshop.data, plan.stages[0].settings, seed=0).selecting
    network = load_network(artifacts["pretrain"], None, CPU)
    best = artifacts["pretrain"].history[artifacts["pretrain"].json("result")["best_epoch"] - 1]
    error, loss = error_and_loss(network, held_out)
    assert (best["validation_error"], best["validation_loss"]) == (error, loss)
    validation = distorted(workshop.data.validation, distortion, seed=0)
    assert best["tuned_distortion_error"] == classification_error(network, validation)
    errors = artifacts["evaluate"].json("errors")["test"]
    noisy = distorted(workshop.data.test, distortion, seed=1)
    assert errors["tuned_distortion"] == pytest.approx(classification_error(network, noisy))
    clean = load_network(artifacts_of(workshop, finetune__which="none")["pretrain"], None, CPU)
    assert "conv1.weight" in moved(clean.state_dict(), network.state_dict())


def test_one_election_of_all_layers_filters_selects_by_the_votes_of_all(workshop):
    artifacts = artifacts_of(workshop, finetune__across_layers=True, finetune__count=5, rank__distance="l1")
    network = load_network(artifacts["pretrain"], None, CPU)
    noisy, clean, _ = noisy_and_clean(workshop.data, {"name": "awgn", "level": 25.0, "n_images": 20}, seed=0)
    maps = []
    for split in (clean, noisy):
        with torch.no_grad():
            first = network.bn1(network.conv1(network.normalise(as_input(split.images)))).relu()
            block = network.layer1[0]
            inner = block.bn1(block.conv1(first)).relu()
            outer = block.bn2(block.conv2(inner)).relu()  # by rule, before the residual addition
        maps.append([first, inner, outer])
    votes = torch.cat([filter_distances(a, b, "l1") for a, b in zip(*maps, strict=True)], dim=1)
    points = borda_count(votes)
    order = sorted(range(12), key=lambda i: (-int(points[i]), -float(votes[:, i].mean())))[:5]
    layers = ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    expected = {layer: [i - 4 * place for i in order if i // 4 == place] for place, layer in enumerate(layers)}
    assert artifacts["finetune"].json("filters") == expected


@pytest.mark.parametrize("which", ["most", "least", "random"])
def test_a_threshold_selects_as_many_filters_as_are_above_it(workshop, which):
    ranked = artifacts_of(workshop)["rank"].json("ranking")
    distances = sorted(distance for found in ranked.values() for distance in found["mean_distance"])
    threshold = (distances[-4] + distances[-5]) / 2
    above = {
        layer: {i for i, distance in enumerate(found["mean_distance"]) if distance > threshold}
        for layer, found in ranked.items()
    }
    filters = artifacts_of(workshop, finetune__which=which, finetune__threshold=threshold)["finetune"].json("filters")
    assert {layer: len(chosen) for layer, chosen in filters.items()} == {layer: len(s) for layer, s in above.items()}
    assert sum(map(len, filters.values())) == 4
    assert (
        (filters == {layer: sorted(chosen) for layer, chosen in above.items()})
        or which != "most"
        or all(set(filters[layer]) == above[layer] for layer in above)
    )


def test_a_threshold_above_all_distances_is_an_error_that_says_how_far_they_go(workshop):
    plan = workshop.plan(finetune__threshold=1e6)
    with pytest.raises(InputError, match=r"no filter's mean distance is above .* 1e\+06; the largest is 0\.\d"):
        workshop.run(plan)


@pytest.mark.parametrize("settings", [{}, {"finetune__method": "correction"}, {"finetune__train_classifier": True}])
def test_features_that_are_kept_change_nothing_but_rounding(workshop, tmp_path, monkeypatch, settings):
    settings = {
        "finetune__layers": "layer2.0.conv2, layer3.0.conv1",
        "finetune__training__optimizer": "sgd",
        **settings,
    }
    computed = []
    features = CutNetwork.features
    monkeypatch.setattr(CutNetwork, "features", lambda cut, split: computed.append(len(split)) or features(cut, split))
    kept = artifacts_of(workshop, **settings)
    assert computed == [16, 4, 60, 60], "noisy images to train on and to select by, those of both probes, once each"
    monkeypatch.setattr(finetune, "cut_network", lambda *_: None)
    other = type(workshop)(tmp_path / "other")
    whole = artifacts_of(other, **settings)
    assert len(computed) == 4
    changes, expected = (found["finetune"].tensors("changes") for found in (kept, whole))
    assert set(changes) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(changes[name], value, rtol=1e-4, atol=1e-5)


def test_augmented_images_are_not_kept_as_features(workshop, monkeypatch):
    monkeypatch.setattr(finetune, "cut_network", lambda *_: pytest.fail("it was cut"))
    artifacts_of(
        workshop, finetune__layers="layer2.0.conv2", finetune__training__augmentation="crop-flip", pretrain__epochs=1
    )
