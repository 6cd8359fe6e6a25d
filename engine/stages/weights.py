"""The weights of a file in the place of a pretraining: put into the store once, and from there to every process."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.digest import digest
from engine.errors import InputError
from engine.models import load_reference_checkpoint
from engine.models.weights import check_fit
from engine.stages.network import build_on_meta
from engine.stages.plan import TrialPlan
from engine.stages.runner import find_whole
from engine.stages.store import Store


@dataclass(frozen=True)
class InitialWeights:
    """Weights in the store, and what is known of them.

    Attributes:
        key: content hash of names, shapes and values, wherever the file lies and whatever its format: their key in
            the store, and the value of the setting ``model.weights``.
        facts: what ``load_reference_checkpoint`` says of one of the authors' files; empty for other files.
    """

    key: str
    facts: Mapping[str, Any]

    def settings(self, given: Collection[str] = ()) -> dict[str, Any]:
        """Return {dotted path: value} that make a trial start from these weights.

        A file that tells its architecture decides it.

        Args:
            given: paths that a person has set, which stay as they are.
        """
        settings: dict[str, Any] = {"model.weights": self.key}
        if self.facts:
            settings |= {"model.name": self.facts["name"], "model.width": self.facts["width"]}
            push_pull = self.facts["push_pull"] or {"where": "none"}
            settings |= {f"push_pull.{name}": value for name, value in push_pull.items()}
        return {path: value for path, value in settings.items() if path not in given}


def prepare_weights(path: Path, store: Store) -> InitialWeights:
    """Read a file of weights and put them into the store, so that the file itself need not be reached again.

    Args:
        path: one of the push–pull authors' files, or safetensors with the names of one of this project's models, such
            as ``model.safetensors`` of a pretraining in a store.
        store: where the weights go.

    Raises:
        InputError: no such file, one that is cut off or damaged, or that holds more than weights, or other weights.
    """
    tensors, facts = _read(path.expanduser())
    content = {
        name: [list(tensor.shape), str(tensor.dtype), hashlib.sha256(_bytes(tensor)).hexdigest()]
        for name, tensor in tensors.items()
    }
    key = digest(["weights", content])[:32]
    if find_whole(store, key) is None:
        with store.attempt(key) as attempt:
            attempt.write_tensors("model", tensors)
            attempt.write_json("facts", {"source": path.name, **facts})
            store.publish(attempt, {"history": [], "seconds": 0.0, "spec": {"stage": "weights"}})
    return InitialWeights(key, facts)


def check_weights(plan: TrialPlan, store: Store) -> None:
    """Check that the weights that a trial starts from are there and fit its network; without such nothing is checked.

    Raises:
        InputError: they are not in the store, or do not fit; it says which do not.
    """
    for spec in plan:
        if spec.stage == "init":
            shapes, source = _shapes(store, spec.inputs["weights"])
            network = spec.settings["network"]
            check_fit(build_on_meta(network), shapes, source=f"{source} for a network {network['name']}")


def _shapes(store: Store, key: str) -> tuple[dict[str, Tensor], str]:
    """Return {name: the shape, as a tensor on the meta device} of weights in the store, and the file they are from."""
    artifact = find_whole(store, key)
    if artifact is None:
        raise InputError(f"`model.weights`: the store has no weights {key}; give their file again (--init)")
    tensors = {name: torch.empty(tensor.shape, device="meta") for name, tensor in artifact.tensors("model").items()}
    return tensors, artifact.json("facts")["source"]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if path.suffix != ".safetensors":
        model, facts = load_reference_checkpoint(path)
        return model.state_dict(), facts
    if not path.is_file():
        raise InputError(f"there is no file of weights {path}")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path), {}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}") from error


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
