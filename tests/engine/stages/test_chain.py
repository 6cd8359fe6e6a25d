import socket

import pytest
import torch

from engine.corruptions import corrupt, distort
from engine.data import Digits
from engine.metrics import as_input, predict
from engine.ranking import activation_maps
from engine.seeds import derive_seed, generator
from engine.settings import TrialConfig
from engine.stages import (
    MissingInputError,
    StageCancelledError,
    find_whole,
    plan_trial,
    prepare_data,
    rows_to_table,
    run_chain,
    run_stage,
)
from engine.stages.network import build_network, load_network
from engine.stages.noisy import noisy_and_clean
from engine.stages.probe import make_judge, make_probe
from engine.training import TrainingDivergedError
from tests.engine.stages.conftest import TINY


def files_of(artifact) -> dict[str, str]:
    return artifact.manifest["files"]


def without_seconds(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


def wrong_share(network, images, labels) -> float:
    """Return the error, image by image."""
    with torch.no_grad():
        wrong = [
            int(network(as_input(image[None])).argmax()) != int(label)
            for image, label in zip(images, labels, strict=True)
        ]
    return sum(wrong) / len(wrong)


@pytest.fixture
def done(workshop):
    """Return the workshop, its plan and the four stages' artifacts by name."""
    plan = workshop.plan()
    return workshop, plan, {outcome.spec.stage: outcome.artifact for outcome in workshop.run(plan)}


def test_a_chain_computes_its_stages_once(workshop):
    plan = workshop.plan()
    heard = []
    first = workshop.run(plan, on_epoch=lambda spec, record: heard.append((spec.stage, record["epoch"])))
    assert [(outcome.spec.stage, outcome.from_store) for outcome in first] == [
        ("pretrain", False),
        ("rank", False),
        ("finetune", False),
        ("evaluate", False),
    ]
    assert heard == [("pretrain", 1), ("pretrain", 2), ("finetune", 1), ("finetune", 2)]
    heard.clear()
    second = workshop.run(plan, on_epoch=lambda spec, record: heard.append(spec))
    assert [outcome.from_store for outcome in second] == [True] * 4
    assert [files_of(one.artifact) for one in first] == [files_of(two.artifact) for two in second]
    assert heard == []
    assert not list((workshop.store.root / "attempts").iterdir())
    assert not list((workshop.store.root / "checkpoints").glob("*/*"))


def test_a_chain_says_how_far_its_stages_are(workshop):
    told = {}
    plan = workshop.plan()
    workshop.run(plan, on_progress=lambda spec, done, total: told.setdefault(spec.stage, []).append((done, total)))
    settings = {spec.stage: spec.settings for spec in plan}
    for stage in ("pretrain", "finetune"):
        n_epochs = settings[stage]["training"]["epochs"]
        assert told[stage] == [(epoch, n_epochs) for epoch in range(n_epochs)]
    evaluation = settings["evaluate"]
    n_cells = len(evaluation["severities"]) * (len(evaluation["objective"]) + len(evaluation["corruptions"]))
    done = [done for done, total in told["evaluate"]]
    assert {total for _, total in told["evaluate"]} == {n_cells}
    assert done == sorted(done)
    assert done[-1] == n_cells
    assert len(done) > len(evaluation["corruptions"])


def test_the_same_trial_in_another_store_has_the_same_bytes(done, tmp_path):
    workshop, plan, artifacts = done
    torch.manual_seed(123)
    again = type(workshop)(tmp_path / "elsewhere")
    for outcome in again.run(again.plan()):
        name = outcome.spec.stage
        assert outcome.spec.key == plan.key(name)
        assert files_of(outcome.artifact) == files_of(artifacts[name])
        assert without_seconds(outcome.artifact.history) == without_seconds(artifacts[name].history)


@pytest.mark.parametrize("threads", [1, 2])
def test_stages_run_on_the_threads_that_their_keys_say_whatever_the_process_has(workshop, tmp_path, threads):
    workshop.plan()
    plan = plan_trial(TrialConfig().with_settings(TINY), workshop.info, threads=threads)
    other = type(workshop)(tmp_path / "other")
    other.plan()
    before, found = torch.get_num_threads(), []
    try:
        for process, place in ((threads, workshop), (3 - threads, other)):
            torch.set_num_threads(process)
            found.append([files_of(outcome.artifact) for outcome in place.run(plan)])
            assert torch.get_num_threads() == process
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_threads_change_what_a_training_computes(workshop):
    """If not, they need not be in the keys."""
    workshop.plan()
    one, two = (plan_trial(TrialConfig().with_settings(TINY), workshop.info, threads=threads) for threads in (1, 2))
    weights = [files_of(workshop.run(plan)[0].artifact)["model.safetensors"] for plan in (one, two)]
    assert weights[0] != weights[1]


def test_what_is_shared_is_taken_from_the_store(done):
    workshop, _, _ = done
    outcomes = workshop.run(workshop.plan(finetune__which="least"))
    assert [outcome.from_store for outcome in outcomes] == [True, True, False, False]


def test_a_manifest_says_what_was_computed_and_where(done):
    _, plan, artifacts = done
    for spec in plan:
        manifest = artifacts[spec.stage].manifest
        assert manifest["key"] == spec.key
        assert type(spec).from_json(manifest["spec"]) == spec
        assert manifest["seconds"] > 0
        assert 0 < manifest["cpu_seconds"] < 100
        assert manifest["environment"]["torch"] == torch.__version__
        assert manifest["environment"]["host"] == socket.gethostname()
        versions = {"git_commit", "code", "python", "torch", "numpy", "cuda"}
        assert set(manifest["environment"]) == {*versions, "machine", "host", "node", "process"}


def test_the_errors_equal_a_loop_over_the_images(workshop):
    plan = workshop.plan(data__n_train=400, model__width=8, pretrain__epochs=6, pretrain__learning_rate=0.01)
    artifacts = {outcome.spec.stage: outcome.artifact for outcome in workshop.run(plan)}
    errors = artifacts["evaluate"].json("errors")
    network = load_network(artifacts["pretrain"], artifacts["finetune"], torch.device("cpu"))
    data = workshop.data
    assert errors["test"]["clean"] == pytest.approx(wrong_share(network, data.test.images, data.test.labels))
    assert errors["validation"]["clean"] == pytest.approx(
        wrong_share(network, data.validation.images, data.validation.labels)
    )
    answers = predict(network, data.test.images).argmax(1).bincount()
    assert errors["test"]["most_answered"] == pytest.approx(float(answers.max()) / len(data.test))
    assert errors["test"]["most_labelled"] == pytest.approx(float(data.test.labels.bincount().max()) / len(data.test))
    on_test = rows_to_table(errors["test"]["corrupted"])
    assert list(on_test) == [(name, severity) for name in ("gaussian_noise", "contrast") for severity in (1, 5)]
    on_validation = rows_to_table(errors["validation"]["corrupted"])
    chosen_by = ("gaussian_noise", "shot_noise", "contrast")
    assert list(on_validation) == [(name, severity) for name in chosen_by for severity in (1, 5)]
    assert (errors["validation"]["n_images"], errors["test"]["n_images"]) == (len(data.validation), len(data.test))
    for table, split, seed in ((on_test, data.test, 1), (on_validation, data.validation, 0)):
        for (name, severity), error in table.items():
            images = corrupt(split.images, name, severity, seed=seed, indices=split.indices, table="digits")
            assert error == pytest.approx(wrong_share(network, images, split.labels))
    assert len(set(on_test.values())) > 2  # the network has learned something to tell the cells apart by
    assert errors["objective"] == pytest.approx(sum(on_validation.values()) / 6)
    noisy = distort(data.test.images, "awgn", 25.0, seed=derive_seed(1, "distortion"), indices=data.test.indices)
    on_validation_images = distort(
        data.validation.images, "awgn", 25.0, seed=derive_seed(0, "distortion"), indices=data.validation.indices
    )
    result, history = artifacts["finetune"].json("result"), artifacts["finetune"].history
    assert history[result["best_epoch"] - 1]["tuned_distortion_error"] == pytest.approx(
        wrong_share(network, on_validation_images, data.validation.labels)
    )
    order = torch.randperm(len(data.train), generator=generator(0, "noisy images"))[:20]
    held_out = data.train.take(order[[4, 9, 14, 19]])
    on_held_out = distort(held_out.images, "awgn", 25.0, seed=derive_seed(0, "distortion"), indices=held_out.indices)
    assert result["validation_error"] == pytest.approx(wrong_share(network, on_held_out, held_out.labels))
    assert errors["test"]["tuned_distortion"] == pytest.approx(wrong_share(network, noisy, data.test.labels))


def test_a_trial_without_fine_tuning_has_no_tuned_distortion(workshop):
    outcomes = workshop.run(workshop.plan(finetune__which="none"))
    assert [outcome.spec.stage for outcome in outcomes] == ["pretrain", "evaluate"]
    assert outcomes[-1].artifact.json("errors")["test"]["tuned_distortion"] is None


def test_the_result_is_the_best_epoch_s(done):
    _, _, artifacts = done
    for stage in ("pretrain", "finetune"):
        result, history = artifacts[stage].json("result"), artifacts[stage].history
        best = min(history, key=lambda record: (record["validation_error"], record["validation_loss"], record["epoch"]))
        assert result["best_epoch"] == best["epoch"]
        assert result["validation_error"] == best["validation_error"]
        assert "probe_error" not in result, "another trial, with another probe, may share it"
        assert [record["epoch"] for record in history] == [1, 2]
    network = load_network(artifacts["pretrain"], None, torch.device("cpu"))
    assert artifacts["pretrain"].json("result")["n_trained"] == sum(p.numel() for p in network.parameters())
    # the best of each four filters, in three layers: 1·9 + 4·9 + 4·9 weights
    assert artifacts["finetune"].json("result")["n_trained"] == 9 + 36 + 36


def test_the_kept_network_is_the_best_epoch_s_and_not_the_last(workshop, monkeypatch):
    def make_scripted_judge(validation, probe):
        judge, errors = make_judge(validation, probe), [0.5, 0.3, 0.6]
        return lambda network: {**judge(network), "validation_error": errors.pop(0)}

    monkeypatch.setattr("engine.stages.pretrain.make_judge", make_scripted_judge)
    monkeypatch.setattr("engine.stages.finetune.make_judge", make_scripted_judge)
    plan = workshop.plan(
        data__n_train=400,
        model__width=8,
        pretrain__epochs=3,
        pretrain__learning_rate=0.01,
        finetune__training__epochs=3,
        finetune__training__learning_rate=0.1,
    )
    artifacts = {outcome.spec.stage: outcome.artifact for outcome in workshop.run(plan)}
    probe = make_probe(workshop.data, plan.stages[0].watch["probe"])
    for stage, tuned in (("pretrain", None), ("finetune", artifacts["finetune"])):
        result, history = artifacts[stage].json("result"), artifacts[stage].history
        assert (result["best_epoch"], result["epochs"]) == (2, 3)
        network = load_network(artifacts["pretrain"], tuned, torch.device("cpu"))
        found = wrong_share(network, probe.images, probe.labels)
        assert history[1]["probe_error"] == pytest.approx(found)
        assert history[2]["probe_error"] != pytest.approx(found)


def test_the_probe_gives_each_image_one_corruption_in_turn(workshop):
    workshop.plan()
    settings = {"table": "digits", "corruptions": ["gaussian_noise", "contrast"], "severities": [2, 5], "n_probe": 21}
    probe, validation = make_probe(workshop.data, settings), workshop.data.validation
    cells = [("gaussian_noise", 2), ("gaussian_noise", 5), ("contrast", 2), ("contrast", 5)]
    assert len(probe) == 21
    for place in range(21):
        name, severity = cells[place % 4]
        one = slice(place * len(validation) // 21, place * len(validation) // 21 + 1)
        expected = corrupt(
            validation.images[one], name, severity, seed=0, indices=validation.indices[one], table="digits"
        )
        assert torch.equal(probe.images[place : place + 1], expected)
    assert torch.equal(probe.labels, validation.labels[torch.arange(21) * len(validation) // 21])


def test_fine_tuning_changes_the_ranked_filters_alone(done):
    _, _, artifacts = done
    ranking, chosen = artifacts["rank"].json("ranking"), artifacts["finetune"].json("filters")
    assert list(ranking) == list(chosen) == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert all(chosen[layer] == ranking[layer]["order"][:1] for layer in ranking)
    before, after = (
        load_network(artifacts["pretrain"], tuned, torch.device("cpu")).state_dict()
        for tuned in (None, artifacts["finetune"])
    )
    for name, value in after.items():
        layer = name.removesuffix(".weight")
        rows = [row for row in range(len(value) if value.ndim else 0) if not torch.equal(before[name][row], value[row])]
        assert rows in ([], chosen.get(layer, [])), name
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])


@pytest.mark.parametrize(
    "settings",
    [
        {"rank__pairing": "unpaired", "rank__features": "maps", "rank__metric": "hamming"},
        {"rank__pairing": "unpaired", "rank__n_exemplars": 3},
        {"rank__pairing": "unpaired", "rank__features": "conv1", "rank__metric": "hamming"},
        {"finetune__which": "random", "finetune__batch_norm": "affine", "finetune__train_classifier": True},
        {"finetune__which": "all", "distortion__name": "blur", "distortion__level": 1.0},
        {"finetune__which": "least", "push_pull__learn_alpha": "kernel", "finetune__training__optimizer": "sgd"},
    ],
    ids=lambda settings: ",".join(map(str, settings.values())),
)
def test_other_trials_run_to_their_end(workshop, settings):
    plan = workshop.plan(pretrain__epochs=1, finetune__training__epochs=1, **settings)
    outcomes = workshop.run(plan)
    assert outcomes[-1].spec.stage == "evaluate"
    assert 0 <= outcomes[-1].artifact.json("errors")["objective"] <= 1


def test_an_unpaired_ranking_is_that_of_its_exemplars(workshop):
    """Exemplars and distances from the definitions, with numpy-like loops."""
    plan = workshop.plan(rank__pairing="unpaired", rank__features="maps", rank__metric="hamming", rank__distance="l2")
    outcomes = {outcome.spec.stage: outcome.artifact for outcome in workshop.run(plan)}
    ranking = outcomes["rank"].json("ranking")["conv1"]
    network = load_network(outcomes["pretrain"], None, torch.device("cpu"))
    noisy, paired, clean = noisy_and_clean(workshop.data, {"name": "awgn", "level": 25.0, "n_images": 20}, seed=0)
    assert not set(clean.indices.tolist()) & set(noisy.indices.tolist())
    assert paired.indices.tolist() == noisy.indices.tolist()
    exemplars = []
    for split in (clean, noisy):
        maps = next(iter(activation_maps(network, split.images, ["conv1"])))["conv1"]
        bits = [(one > 0).flatten().tolist() for one in maps]
        sums = [sum(sum(a != b for a, b in zip(one, other, strict=True)) for other in bits) for one in bits]
        exemplars.append(maps[sums.index(min(sums))])
    distances = ((exemplars[0] - exemplars[1]) ** 2).sum((1, 2)).sqrt()
    assert ranking["rule"] == "distance"
    scale = torch.tensor(ranking["mean_distance"], dtype=torch.float32) / distances
    torch.testing.assert_close(scale, scale[0].expand(4), rtol=1e-4, atol=1e-6)  # per map or per value
    assert ranking["order"] == distances.argsort(descending=True, stable=True).tolist()


def test_exemplars_by_a_named_layer_s_maps_are_those_of_that_layer_for_all_layers(workshop):
    own, named = (
        workshop.run(workshop.plan(rank__pairing="unpaired", rank__features=features))[1].artifact.json("ranking")
        for features in ("maps", "conv1")
    )
    assert named["conv1"] == own["conv1"]
    assert named.keys() == own.keys()
    assert named["layer1.0.conv2"] != own["layer1.0.conv2"]


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("k", [1, 2])
def test_a_stopped_stage_goes_on_from_its_checkpoint_and_ends_the_same(workshop, tmp_path, stage, k):
    settings = {"pretrain__epochs": 3, "finetune__training__epochs": 3, "pretrain__augmentation": "crop-flip"}
    plan = workshop.plan(**settings)
    undisturbed = {outcome.spec.stage: outcome.artifact for outcome in workshop.run(plan)}[stage]

    other = type(workshop)(tmp_path / "other")
    chain = iter(run_chain(other.plan(**settings), other.store, other.getter(), device=other.device))
    spec = next(spec for spec in plan if spec.stage == stage)
    for outcome in chain if stage != "pretrain" else ():
        if outcome.spec.stage == "rank":
            break
    heard: list[int] = []

    def until_k(record) -> bool:
        heard.append(record["epoch"])
        return len(heard) < k

    with pytest.raises(StageCancelledError, match=f"{stage} stopped after epoch {k}"):
        run_stage(spec, other.store, other.getter(), device=other.device, report=until_k)
    assert other.store.find(spec.key) is None
    assert other.store.latest_checkpoint(spec.key)[1]["epoch"] == k
    assert not list((other.store.root / "attempts").iterdir())

    replayed: list[int] = []
    artifact = run_stage(
        spec, other.store, other.getter(), device=other.device, report=lambda r: replayed.append(r["epoch"]) or True
    )
    assert heard == list(range(1, k + 1))
    assert replayed == [1, 2, 3]  # who follows the stage hears the epochs before the restart, too
    assert without_seconds(artifact.history) == without_seconds(undisturbed.history)
    assert files_of(artifact) == files_of(undisturbed)
    assert other.store.latest_checkpoint(spec.key) is None


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_network_with_dropout_goes_on_from_its_checkpoint_and_ends_the_same(workshop, tmp_path, stage):
    settings = {"model__name": "cnn-2-thesis", "finetune__method": "network"}
    plan = workshop.plan(**settings)
    undisturbed = {outcome.spec.stage: outcome.artifact for outcome in workshop.run(plan)}
    other = type(workshop)(tmp_path / "other")
    for spec in other.plan(**settings).stages[:2]:
        torch.rand(3)  # whatever else runs in this process
        if spec.stage == stage:
            with pytest.raises(StageCancelledError):
                run_stage(spec, other.store, other.getter(), device=other.device, report=lambda record: False)
            torch.rand(3)
        artifact = run_stage(spec, other.store, other.getter(), device=other.device)
        assert files_of(artifact) == files_of(undisturbed[spec.stage])


def test_a_stage_stopped_while_it_replays_keeps_its_checkpoint(workshop):
    spec = workshop.plan(pretrain__epochs=3).stages[0]
    for _ in range(2):
        with pytest.raises(StageCancelledError):
            run_stage(spec, workshop.store, workshop.getter(), device=workshop.device, report=lambda record: False)
    assert workshop.store.latest_checkpoint(spec.key)[1]["epoch"] == 1


def test_a_corrupt_artifact_is_computed_again(done):
    workshop, plan, artifacts = done
    path = artifacts["finetune"].folder / "changes.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    outcomes = workshop.run(plan)
    assert [outcome.from_store for outcome in outcomes] == [True, True, False, True]
    assert files_of(outcomes[2].artifact) == files_of(artifacts["finetune"])
    assert len(list((workshop.store.root / "quarantine").iterdir())) == 1


def test_a_stage_without_its_input_says_which(workshop):
    rank = workshop.plan().stages[1]
    with pytest.raises(MissingInputError, match=f"input {rank.inputs['pretrain']}: not in the store") as caught:
        run_stage(rank, workshop.store, workshop.getter(), device=workshop.device)
    assert caught.value.key == rank.inputs["pretrain"]


def test_a_failing_stage_leaves_no_artifact(workshop):
    plan = workshop.plan(pretrain__learning_rate=1e30, pretrain__optimizer="sgd", pretrain__schedule="constant")
    with pytest.raises(TrainingDivergedError, match="in epoch 1 at learning rate"):
        workshop.run(plan)
    assert find_whole(workshop.store, plan.key("pretrain")) is None
    assert not list((workshop.store.root / "attempts").iterdir())


def test_networks_start_from_their_seed_whatever_the_process_did(workshop):
    settings = workshop.plan().stages[0].settings["network"]
    torch.manual_seed(1)
    first = build_network(settings, seed=3)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)  # the global generator is left alone
    torch.manual_seed(2)
    again, other = build_network(settings, seed=3), build_network(settings, seed=4)
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_the_plain_network_and_the_placebo_start_alike_and_compute_alike(workshop):
    plain = build_network(workshop.plan(push_pull__where="none").stages[0].settings["network"], seed=3).eval()
    placebo = build_network(workshop.plan(push_pull__h=1.0).stages[0].settings["network"], seed=3).eval()
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain(images), placebo(images), rtol=1e-4, atol=1e-5)


def test_prepared_data_is_decoded_once(workshop, monkeypatch):
    workshop.plan()
    monkeypatch.setattr(Digits, "read", lambda self: pytest.fail("it was decoded again"))
    info, data = prepare_data(workshop.info.settings, workshop.store)
    assert info == workshop.info
    assert torch.equal(data.train.images, workshop.data.train.images)
    with pytest.raises(LookupError, match=f"this process has the data set {info.key}, not {'0' * 32}"):
        workshop.getter()("0" * 32)
    workshop.store.remove(info.raw_key)
    with pytest.raises(LookupError, match=rf"the store has no data set {info.raw_key} \(digits\)"):
        workshop.getter()(info.key)


def test_a_smaller_probe_is_spread_over_the_validation_images(workshop):
    """Those of a folder lie class by class: the first ones would be of one class."""
    settings = {"table": "digits", "corruptions": ["gaussian_noise"], "severities": [1], "n_probe": 10}
    (pretrain, *_) = workshop.plan(evaluate__n_probe=10).stages
    assert pretrain.watch["probe"]["n_probe"] == 10
    validation = workshop.data.validation
    assert len(validation) == 60
    assert torch.equal(make_probe(workshop.data, settings).indices, validation.indices[::6])
