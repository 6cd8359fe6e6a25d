import json
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import InputError
from engine.ranking import find_exemplar, medoids

ROOT = Path(__file__).parents[3]
PACKAGES = {"scikit-learn-extra": "sklearn_extra", "kmedoids": "kmedoids"}


@pytest.fixture(params=PACKAGES)
def package(request) -> str:
    pytest.importorskip(PACKAGES[request.param])
    return request.param


def apart(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def cost(distances: np.ndarray, found: np.ndarray) -> float:
    return float(distances[:, found].min(axis=1).sum())


@pytest.fixture
def distances() -> np.ndarray:
    return apart(np.random.default_rng(0).normal(size=(60, 3)))


def test_k_medoids_cannot_be_improved_by_a_single_swap(distances, package):
    found = medoids.k_medoids(distances, 3, package=package)
    for place in range(3):
        for other in range(60):
            swapped = found.copy()
            swapped[place] = other
            assert cost(distances, swapped) >= cost(distances, found) - 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_k_medoids_are_as_many_as_asked_for_whatever_is_equal(package, seed):
    draws = np.random.default_rng(seed)
    n_points = int(draws.integers(3, 20))
    points = draws.integers(0, 2, size=(n_points, 2)).astype(float)  # four places
    n_medoids = int(draws.integers(2, n_points + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn-extra is not happy with equal points
        found = medoids.k_medoids(apart(points), n_medoids, package=package)
    assert len(set(found.tolist())) == n_medoids
    assert sorted(found.tolist()) == found.tolist()
    n_places = len(np.unique(points, axis=0))
    if n_medoids >= n_places:
        assert cost(apart(points), found) == 0


@pytest.mark.parametrize("metric", ["euclidean", "hamming"])
def test_exemplars_of_few_places_are_the_first_of_each_with_either_package(package, metric):
    equal, pair = torch.zeros(10, 4), torch.tensor([[0.0]] * 5 + [[9.1]] * 5)
    assert find_exemplar(equal, metric, n_exemplars=3, package=package).tolist() == [0, 1, 2]
    assert find_exemplar(pair, metric, n_exemplars=2, package=package).tolist() == [0, 5]
    assert find_exemplar(pair, metric, n_exemplars=3, package=package).tolist() == [0, 1, 5]
    assert find_exemplar(pair.flip(0), metric, n_exemplars=2, package=package).tolist() == [0, 5]


def test_equal_points_are_found_equal_far_from_the_origin(package):
    far = torch.tensor([[1e3 + 0.1, 3.7]] * 4 + [[0.3, 1e3]] * 4).half().float()
    for points in (far, far.double() * 1.1, far.to(torch.bfloat16)):
        assert find_exemplar(points, n_exemplars=2, package=package).tolist() == [0, 4]


def test_k_medoids_of_both_packages_cost_the_same_mostly_but_not_always():
    for module in PACKAGES.values():
        pytest.importorskip(module)
    n_other = 0
    for seed in range(300):
        draws = np.random.default_rng(seed)
        n_medoids = int(draws.integers(2, 6))
        distances = apart(draws.normal(size=(int(draws.integers(6, 40)), 2)))
        costs = [cost(distances, medoids.k_medoids(distances, n_medoids, package=name)) for name in PACKAGES]
        n_other += abs(costs[0] - costs[1]) > 1e-9
    assert 0 < n_other < 15, "if this is 0, the package need not be in the keys"


def test_k_medoids_says_what_to_install(distances, monkeypatch):
    for module in ("sklearn_extra", "sklearn_extra.cluster", "kmedoids"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"install scikit-learn-extra .* kmedoids is not installed"):
        medoids.k_medoids(distances, 2)
    with pytest.raises(InputError, match="the k-medoids package kmedoids is not installed"):
        medoids.k_medoids(distances, 2, package="kmedoids")
    with pytest.raises(InputError, match=r"unknown k-medoids package 'kmedoid' \(did you mean 'kmedoids'"):
        medoids.k_medoids(distances, 2, package="kmedoid")


BROKEN = "raise ValueError('numpy.dtype size changed\\nsecond line')\n"


def plan_with(folder: Path, *cases: Mapping[str, object]) -> list[str]:
    """Return what planning trials in another process says, with a folder before all installed packages.

    Args:
        folder: of modules.
        cases: settings of the rankings, one trial after the other: what is imported for one is there for the next.
    """
    script = """
import json, sys
sys.path.insert(0, sys.argv[1])
from engine.data import DataInfo
from engine.errors import InputError
from engine.settings import DataSettings, TrialConfig
from engine.stages import plan_trial
info = DataInfo(
    key="0" * 32, training_key="2" * 32, raw_key="1" * 32, settings=DataSettings(), n_classes=10, channels=1,
    image_size=16, severity_table="digits", n_train=958, n_validation=240, n_test=599,
)
for settings in json.loads(sys.argv[2]):
    try:
        plan = plan_trial(TrialConfig().with_settings(settings), info)
    except InputError as error:
        print(error)
    else:
        rank = next(spec for spec in plan if spec.stage == "rank")
        imported = sorted({"ot", "kmedoids", "sklearn_extra"} & {*sys.modules})
        print("package:", rank.settings.get("package"), "imported:", imported)
"""
    wanted = [{"finetune.which": "most"} | {f"rank.{name}": value for name, value in case.items()} for case in cases]
    words = [sys.executable, "-c", script, folder, json.dumps(wanted)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


PAIRED: dict[str, object] = {}
UNPAIRED = {"pairing": "unpaired", "n_exemplars": 3}
SPATIAL = {"distance": "emd_spatial"}


def test_planning_imports_what_a_trial_needs_and_nothing_else(tmp_path):
    assert plan_with(tmp_path, PAIRED, {"pairing": "unpaired"}) == ["package: None imported: []"] * 2


def test_a_broken_package_is_found_at_planning_in_one_sentence(tmp_path):
    for module in ("ot", "kmedoids", "sklearn_extra"):
        (tmp_path / f"{module}.py").write_text(BROKEN)
    paired, of_medoids, of_pot = plan_with(tmp_path, PAIRED, UNPAIRED, SPATIAL)
    assert paired == "package: None imported: []"
    assert of_medoids == (
        "more than one exemplar needs a k-medoids package: install scikit-learn-extra (Python < 3.12) or kmedoids; "
        "scikit-learn-extra cannot be imported (ValueError: numpy.dtype size changed), "
        "kmedoids cannot be imported (ValueError: numpy.dtype size changed)"
    )
    assert "need the package POT" in of_pot
    assert of_pot.endswith("it cannot be imported (ValueError: numpy.dtype size changed)")


def test_another_module_of_a_package_s_name_is_no_package(tmp_path):
    for module in ("ot", "kmedoids", "sklearn_extra"):
        (tmp_path / f"{module}.py").write_text("")
    of_medoids, of_pot = plan_with(tmp_path, UNPAIRED, SPATIAL)
    assert "kmedoids cannot be imported" in of_medoids
    assert "it cannot be imported (AttributeError" in of_pot


def test_the_package_that_is_used_is_in_the_plan(tmp_path):
    pytest.importorskip("kmedoids")
    (tmp_path / "sklearn_extra.py").write_text(BROKEN)
    (said,) = plan_with(tmp_path, UNPAIRED)
    assert said.startswith("package: kmedoids")
