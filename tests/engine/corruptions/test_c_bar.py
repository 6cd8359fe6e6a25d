"""C-bar against the benchmark's outputs for their own parameters (reference files; skipped without them)."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from engine.corruptions import corrupt, severity_constants, table_corruptions
from engine.corruptions.apply import CORRUPTION_REGISTRY
from engine.corruptions.c_bar_tables import CIFAR_C_BAR, IMAGENET_C_BAR
from engine.corruptions.splines import sample_spline, spline_coefficients, zoomed_places
from engine.corruptions.tables import SUITES, with_suites
from tests.engine.corruptions.reference import channels_first, reference_path

SETS = {
    "cifar": ("cifar-c", CIFAR_C_BAR, (1, 2, 3, 4, 5)),
    "imagenet": ("imagenet-c", IMAGENET_C_BAR, (1, 3, 5)),
}
SHARE_OFF_BY_ONE = {"pinch_and_twirl": 0.006, "caustic_refraction": 3e-5, "sparkles": 3e-5}
"""The first works in 32 bits where the others do in 64; all else is byte for byte."""

PARAMETERS: dict[str, dict[str, Callable[[dict], Any]]] = {
    "checkerboard_cutout": {"angle": lambda it: it["angle"], "cell": lambda it: it["scales"][0]},
    "sparkles": {"centres": lambda it: it["centers"], "rays": lambda it: it["nrays"]},
    "inverse_sparkles": {"centre": lambda it: it["center"], "rays": lambda it: it["rays"]},
    "lines": {"angle": lambda it: it["angle"], "variation": lambda it: it["angle_variation"]},
    "single_frequency_greyscale": {
        "frequency": lambda it: it["freq"][0],
        "other frequency": lambda it: it["freq"][1] / abs(it["freq"][0]),
        "order": lambda it: 0,
        "phase": lambda it: it["phase"],
    },
    "cocentric_sine_waves": {
        "centre": lambda it: it["offset"],
        "bends": lambda it: it["freq"],
        "amplitude": lambda it: it["amplitude"],
        "width": lambda it: it["ring_width"],
    },
    "plasma_noise": {name: lambda it, name=name: it[name] for name in ("time", "iterations", "sharpness", "scale")},
    "caustic_refraction": {"time": lambda it: it["time"], "size": lambda it: it["size"]},
    "ripple": {"lengths": lambda it: it["wavelengths"], "phases": lambda it: it["phases"]},
    "pinch_and_twirl": {"signs": lambda it: (np.sign(it["angles"]) + 1) // 2},
    "transverse_chromatic_abberation": {"order": lambda it: np.argsort(it["scales"])},
}
"""By corruption, {what is drawn: what of the stored parameters it is}."""


class StoredDraws:
    """The parameters that the benchmark has drawn; what it draws with a seed among them is drawn so here."""

    def __init__(self, name: str, parameters: Sequence[dict]) -> None:
        self._stored = PARAMETERS.get(name, {})
        self._parameters = parameters
        self._states = [np.random.RandomState(it["seed"]) if "seed" in it else None for it in parameters]
        self.device = torch.device("cpu")

    def _each(self, purpose: str, draw: Callable[[dict, Any], Any], kind: type = float) -> torch.Tensor:
        given = self._stored.get(purpose)
        drawn = [
            given(it) if given else draw(it, state) for it, state in zip(self._parameters, self._states, strict=True)
        ]
        return torch.from_numpy(np.stack([np.asarray(value).astype(kind) for value in drawn]))

    def uniform(self, purpose: str, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        def draw(it: dict, state: Any) -> np.ndarray:
            if purpose != "grey":
                return state.uniform(low, high, size=tuple(shape))
            n_cells = int(4 * SIDES[it["scales"][0] > 8] // it["scales"][0])
            return _padded(state.uniform(size=(n_cells, n_cells)), shape)

        return self._each(purpose, draw)

    def normal(self, purpose: str, shape: Sequence[int]) -> torch.Tensor:
        def draw(it: dict, state: Any) -> np.ndarray:
            n_rays = it["rays"] if "rays" in it else it["nrays"][int(purpose.split()[1])]
            return _padded(state.standard_normal(n_rays), shape)

        return self._each(purpose, draw)

    def integers(self, purpose: str, low: int, high: int, shape: Sequence[int]) -> torch.Tensor:
        return self._each(purpose, lambda it, state: state.randint(low, high, size=tuple(shape)), np.int64)


SIDES = {False: 32, True: 224}
"""By whether a checkerboard's cell is more than a quarter of 32."""


def _padded(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return np.pad(values, [(0, wanted - there) for wanted, there in zip(shape, values.shape, strict=True)])


@pytest.mark.parametrize(
    ("which", "name"), [(which, name) for which, (_, constants, _) in SETS.items() for name in constants]
)
def test_c_bar_gives_the_benchmarks_bytes_for_its_parameters(which, name):
    table, _, severities = SETS[which]
    with np.load(reference_path(f"successors/{which}_c_bar_ref.npz")) as stored:
        clean, expected = channels_first(stored["clean"]), channels_first(stored[name])
    parameters = json.loads(reference_path(f"successors/{which}_c_bar_params.json").read_text())["params"][name]
    assert len(expected) == len(severities) == len(parameters)
    for found_at, severity, given in zip(expected, severities, parameters, strict=True):
        constants = severity_constants(name, severity, table)
        found = CORRUPTION_REGISTRY[name](clean, constants, StoredDraws(name, given))
        difference = (found.int() - found_at.int()).abs()
        allowed = SHARE_OFF_BY_ONE.get(name, 0)
        assert int(difference.max()) <= (1 if allowed else 0), severity
        assert float((difference > 0).float().mean()) <= allowed, severity


def test_splines_are_scipys():
    picture = np.random.default_rng(0).integers(0, 256, (9, 7)).astype(float)
    values = torch.from_numpy(picture)[None, None]
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 8, 11).double(), torch.linspace(0, 6.5, 9).double(), indexing="ij"
    )
    expected = ndimage.map_coordinates(picture, [rows.numpy(), columns.numpy()], order=3)
    np.testing.assert_allclose(sample_spline(spline_coefficients(values), rows, columns)[0, 0], expected, atol=1e-9)
    places = [zoomed_places(length, 1.5, values.device) for length in (9, 7)]
    enlarged = sample_spline(values, places[0].unsqueeze(1).expand(9, 7), places[1].expand(9, 7))
    expected = ndimage.zoom(picture, 1.5, order=3, prefilter=False)  # 14×10, whose middle begins at (2, 1)
    np.testing.assert_allclose(enlarged[0, 0], expected[2:11, 1:8], atol=1e-9)


def test_a_suite_stands_for_its_ten():
    for table, suites in SUITES.items():
        assert len(suites["c"]) == 19
        assert len(suites["c-bar"]) == 10
        assert set(suites["c-bar"]) | set(suites["c"]) <= set(table_corruptions(table))
    assert with_suites(("fog", "c-bar", "lines"), "cifar-c") == ("fog", *CIFAR_C_BAR)


@pytest.mark.parametrize("name", dict.fromkeys([*CIFAR_C_BAR, *IMAGENET_C_BAR]))
def test_c_bar_grows_worse(name):
    images = torch.from_numpy(np.random.default_rng(0).integers(60, 200, (8, 3, 1, 1)).astype(np.uint8))
    images = images + torch.arange(32).byte()
    images = images.repeat(1, 1, 32, 1).contiguous()
    images[:, :, ::6] //= 2
    for table in SUITES:
        made = [corrupt(images, name, severity, seed=0, table=table).float() for severity in (1, 5)]
        first, last = ((each - images).abs().mean() for each in made)
        assert first < last, table
