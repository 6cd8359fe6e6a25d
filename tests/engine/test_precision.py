"""Precision: what it changes, what it leaves alone, and where it is refused."""

import pytest
import torch

from engine.errors import InputError
from engine.metrics.classification import predict
from engine.models import build_model
from engine.precision import check_precision, computing_in, current_precision, in_full, network_pass
from engine.ranking import activation_maps
from engine.settings import TrialConfig
from engine.stages import data_getter, plan_trial, prepare_data, run_chain
from engine.stages.numerics import Numerics
from engine.store import Store
from tests.engine.stages.conftest import TINY


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model("resnet-8", num_classes=10, image_size=16, width=4).eval()


def images() -> torch.Tensor:
    return torch.randint(0, 256, (4, 3, 16, 16), generator=torch.Generator().manual_seed(1)).byte()


def test_bf16_changes_the_network_s_passes_a_little_and_gives_numbers_of_32_bits(network) -> None:
    exact = predict(network, images())
    maps = next(activation_maps(network, images()))
    with computing_in("bf16", "cpu"):
        assert current_precision() == "bf16"
        rounded, rounded_maps = predict(network, images()), next(activation_maps(network, images()))
    assert current_precision() == "fp32"
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.1)
    for layer, found in rounded_maps.items():
        assert found.dtype == torch.float32
        assert not torch.equal(found, maps[layer])
    assert torch.equal(predict(network, images()), exact), "nothing is left of it"


def test_only_a_network_s_pass_is_in_bf16() -> None:
    a = torch.rand(8, 8, generator=torch.Generator().manual_seed(2))
    with computing_in("bf16", "cpu"):
        assert torch.equal(a @ a, torch.mm(a, a))
        assert (a @ a).dtype == torch.float32
        with network_pass(a.device):
            assert (a @ a).dtype == torch.bfloat16
            assert in_full(a @ a).dtype == torch.float32


def test_numbers_of_64_bits_stay_what_they_are() -> None:
    assert in_full(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    ("precision", "device", "sentence"),
    [("tf32", "cpu", "precision tf32 is for GPUs"), ("fp16", "cuda", "precision")],
)
def test_what_a_device_cannot_is_refused(precision: str, device: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_precision(precision, device)


def test_a_gpu_that_is_too_old_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    check_precision("fp32", "cuda")
    for precision in ("tf32", "bf16"):
        with pytest.raises(InputError, match=r"compute capability 8.0 or newer, got Tesla T4: use fp32"):
            check_precision(precision, "cuda")


@pytest.mark.parametrize("asked", [{"strict": True}, {"captured": True}])
def test_what_is_for_gpus_alone_is_refused_on_cpus(asked: dict[str, bool]) -> None:
    with pytest.raises(InputError, match="is for GPUs: on CPUs the same key gives the same bits as it is"):
        Numerics("cpu", **asked).check()
    Numerics("cuda", **asked).check()


def test_what_of_it_is_in_keys() -> None:
    assert Numerics("cpu", 2).to_key() == {"device": "cpu", "threads": 2}
    assert Numerics("cpu", 1, "bf16", True, True).to_key() == {"device": "cpu", "threads": 1, "precision": "bf16"}
    assert Numerics("cuda", 2).to_key() == {"device": "cuda", "precision": "fp32"}
    whole = Numerics("cuda", 1, "bf16", strict=True, captured=True)
    assert whole.to_key() == {"device": "cuda", "precision": "bf16", "strict": True, "captured": True}
    assert Numerics.of_key({**whole.to_key(), "threads": 1}) == whole


def test_fp32_on_a_gpu_is_true_fp32_and_strict_computing_refuses_what_does_not_repeat(monkeypatch) -> None:
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [one.allow_tf32 for one in flags]
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    for precision in ("fp32", "tf32", "bf16"):
        with computing_in(precision, "cuda", strict=precision == "bf16"):
            assert [one.allow_tf32 for one in flags] == [precision == "tf32"] * 2
            assert torch.are_deterministic_algorithms_enabled() == (precision == "bf16")
            assert torch.backends.cudnn.deterministic == (precision == "bf16")
    assert [one.allow_tf32 for one in flags] == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_cublas_has_to_know_before_a_gpu_is_computed_on(monkeypatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_initialized", lambda: True)
        with (
            pytest.raises(InputError, match="CUBLAS_WORKSPACE_CONFIG=:4096:8"),
            computing_in("fp32", "cuda", strict=True),
        ):
            pass
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def test_a_trial_in_bf16_has_keys_of_its_own_repeats_and_says_what_it_computed_in(tmp_path) -> None:
    config = TrialConfig().with_settings(TINY)
    keys, found = {}, []
    for name, precision in (("a", "bf16"), ("b", "bf16"), ("c", "fp32")):
        store = Store(tmp_path / name)
        info, _ = prepare_data(config.data, store)
        plan = plan_trial(config, info, precision=precision)
        keys[name] = [spec.key for spec in plan]
        place = torch.device("cpu")
        done = list(run_chain(plan, store, data_getter(info, store, place), device=place))
        assert all(one.artifact.manifest["precision"] == precision for one in done)
        found.append(done[0].artifact.tensors("model"))
    assert keys["a"] == keys["b"]
    assert not set(keys["a"]) & set(keys["c"])
    assert keys["c"] == [spec.key for spec in plan_trial(config, info)]
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    assert any(not torch.equal(value, found[2][name]) for name, value in found[0].items())
