"""The weights of a file in the place of a pretraining: put into the store once, and from there to every process."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.digest import digest
from engine.errors import InputError
from engine.models.checkpoint import Checkpoint, read_checkpoint
from engine.models.libraries import is_of_library, networks_with, published_weights, said_of
from engine.models.model_names import model_source_digest
from engine.models.published import Published, fetch
from engine.models.reference import describe, with_cifar_statistics
from engine.models.weights import OPTIONAL, check_fit, n_other_classes
from engine.stages.network import build_on_meta
from engine.stages.plan import TrialPlan
from engine.stages.runner import find_whole
from engine.store.store import Store
from engine.training.correction import add_given_corrections, has_corrections
from engine.training.selective import head_of

FILES = (".pth", ".pt", ".tar", ".ckpt", ".bin", ".safetensors")
"""How names of files of weights end."""
_SIDE = 32
"""Of images, in pixels, where it plays no part."""
_FILES: dict[str, str] = {}
"""{key: the file that was given in this process}: in the store a file of the same content may have come before it."""


@dataclass(frozen=True)
class InitialWeights:
    """Weights in the store, and what is known of them.

    Attributes:
        key: content hash of names, shapes and values, wherever the file lies and whatever its format: their key in
            the store, and the value of the setting ``model.weights``.
        facts: what ``load_reference_checkpoint`` says of a file of torch's; empty for other files and other networks.
        notes: what a person should know of them, in sentences.
    """

    key: str
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def settings(self, given: Collection[str] = ()) -> dict[str, Any]:
        """Return {dotted path: value} that make a trial start from these weights.

        A file that tells its architecture decides it.

        Args:
            given: paths that a person has set, which stay as they are, and where it is a mapping, their values: a
                network of another name is that person's own, of which the file tells nothing.
        """
        settings: dict[str, Any] = {"model.weights": self.key}
        named = given.get("model.name") if isinstance(given, Mapping) else None
        if self.facts and named in (None, self.facts["name"]):
            settings |= {"model.name": self.facts["name"], "model.width": self.facts["width"]}
            push_pull = self.facts["push_pull"] or {"where": "none"}
            settings |= {f"push_pull.{name}": value for name, value in push_pull.items()}
        return {path: value for path, value in settings.items() if path not in given}


def prepare_weights(path: str | Path, store: Store, *, network: str | None = None) -> InitialWeights:
    """Read a file of weights and put them into the store, so that the file itself need not be reached again.

    Args:
        path: one of the push–pull authors' files, another file of torch's, or safetensors with the names of the
            network, such as ``model.safetensors`` of a pretraining in a store. Of a library's network also the name of
            an entry of its published weights, or "default".
        store: where the weights go.
        network: name of the network that they are to be for, if that is known.

    Raises:
        InputError: no such file or entry, one that is cut off or damaged, or that holds more than weights, none, or
            some that are not finite. Whether they fit a network is for ``check_weights``.
    """
    library = network if network is not None and is_of_library(network) else None
    path = Path(path).expanduser()
    if is_entry(path, network):
        assert network is not None
        return _published(network, str(path), store)
    checkpoint = read_checkpoint(path)
    notes = () if checkpoint.average is None else (f"of {path} the averaged weights are taken, `{checkpoint.average}`",)
    if library is not None:
        tensors, more = _normalised_as_published(checkpoint.weights, library, path)
        return InitialWeights(_put(tensors, {}, path, store), {}, (*notes, *more))
    facts = _facts(checkpoint, path)
    tensors = checkpoint.weights
    if facts and not _normalises_itself(network, facts):
        tensors = with_cifar_statistics(tensors, facts)
    return InitialWeights(_put(tensors, facts, path, store), facts, notes)


def _normalises_itself(network: str | None, facts: Mapping[str, Any]) -> bool:
    """Return whether a network is a user's own that has no layer for the statistics of its input.

    Args:
        network: its name; None where the file decides it.
        facts: of a file whose names and shapes are those of a network of this project.
    """
    if network is None or network == facts["name"] or model_source_digest(network) is None:
        return False
    asked = {name: facts[name] for name in ("num_classes", "in_channels")}
    try:
        built = build_on_meta({"name": network, "width": None, "image_size": _SIDE, "push_pull": None, **asked})
    except Exception:  # a user's builder raises as it likes; it is asked again, for the images themselves
        return False
    return not any(name in OPTIONAL for name in built.state_dict())


def is_entry(path: Path, network: str | None) -> bool:
    """Return whether what is given as initial weights is a name of published ones, and no file.

    Raises:
        InputError: it is "default", of a network that has no published weights.
    """
    if path.exists() or len(path.parts) > 1 or path.suffix in FILES:
        return False
    if network is not None and is_of_library(network):
        return True
    if str(path).lower() == "default":
        whose = "" if network is None else f" {network!r}"
        raise InputError(
            f"the network{whose} has no published weights that `--init default` could mean: give a file, or a "
            "library's network by model.name=torchvision:NAME, timm:NAME or robustbench:NAME"
        )
    return False


def _published(network: str, entry: str, store: Store) -> InitialWeights:
    """Put an entry of the published weights of a library's network into the store."""
    found = published_weights(network, entry)
    notes: tuple[str, ...] = (f"{network} with the weights {found.entry}: {found.said}",)
    if found.load is not None:
        (weights, more), path = found.load(), found.places[0]
        notes += more
    else:
        path = fetch(found)
        weights = found.renamed(read_checkpoint(path).weights)
    key = _put({**weights, **_statistics(found)}, {"entry": found.entry}, path, store)
    return InitialWeights(key, {}, notes)


def _normalised_as_published(
    weights: Mapping[str, Tensor], network: str, path: Path
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return weights of a library's network with what its input is normalised by, and what is to be said of that."""
    if all(name in weights for name in OPTIONAL):
        return dict(weights), ()
    try:
        found = published_weights(network, "default")
    except InputError:  # nothing is published of it: the training images' own it is
        return dict(weights), ()
    if found.mean is None or found.std is None:
        return dict(weights), ()
    values = " and ".join(", ".join(f"{value:.3f}" for value in part) for part in (found.mean, found.std))
    note = f"{path} does not say what images are normalised by: it is done as for {found.entry}, mean and std {values}"
    return {**found.renamed(weights), **_statistics(found)}, (note,)


def _statistics(found: Published) -> dict[str, Tensor]:
    if found.mean is None or found.std is None:
        return {}
    return {"normalise.mean": torch.tensor(found.mean), "normalise.std": torch.tensor(found.std)}


def _put(tensors: Mapping[str, Tensor], facts: Mapping[str, Any], path: Path, store: Store) -> str:
    """Put weights into the store unless they are there; return their key."""
    content = {
        name: [list(tensor.shape), str(tensor.dtype), hashlib.sha256(_bytes(tensor)).hexdigest()]
        for name, tensor in tensors.items()
    }
    key = digest(["weights", content])[:32]
    if find_whole(store, key) is None:
        with store.attempt(key) as attempt:
            attempt.write_tensors("model", dict(tensors))
            attempt.write_json("facts", {"source": path.name, **facts})
            store.publish(attempt, {"history": [], "seconds": 0.0, "spec": {"stage": "weights"}})
    _FILES[key] = str(path)
    return key


def _facts(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
    """Return what a file tells of its network; nothing where it is this project's own state, or safetensors.

    Their names don't show whether a layer is a push–pull layer.
    """
    own = any(name in OPTIONAL or name.endswith(("raw_alpha", ".alpha")) for name in checkpoint.weights)
    with contextlib.suppress(InputError):  # what names alone suggest, shapes may rule out
        return {} if own or path.suffix == ".safetensors" else describe(checkpoint, source=str(path)) or {}
    return {}


def check_weights(plan: TrialPlan, store: Store) -> tuple[str, ...]:
    """Check that the weights that a trial starts from are there and fit its network; without such nothing is checked.

    Returns:
        What a person should know of how they fit, a sentence each.

    Raises:
        InputError: they are not in the store, or do not fit; it says which do not. So it is where their classifier has
            another number of classes, and the trial does not train a new one.
    """
    notes: tuple[str, ...] = ()
    for spec in plan:
        if spec.stage == "init":
            shapes, source = _shapes(store, spec.inputs["weights"])
            settings = spec.settings["network"]
            network = build_on_meta(settings)
            if has_corrections(shapes):
                _check_only_tested(plan, source)
                _add_corrections(network, shapes, source)
            head = head_of(network)
            n_others = None if head is None else n_other_classes(network, shapes, head)
            where = f"{source} for a network {settings['name']}"
            try:
                check_fit(network, shapes, source=where, head=head)
            except InputError as error:
                raise InputError(f"{error}{said_of(shapes)}") from error
            if n_others is not None:
                notes = _new_classifier(plan, head, f"the classifier {head!r} in {where}", n_others)
    return notes


def _new_classifier(plan: TrialPlan, head: str | None, old: str, n_classes: int) -> tuple[str, ...]:
    """Check that a classifier of other classes than the weights' is trained; return what is to be said of it."""
    images = f"has {n_classes} classes, and the images have {plan.stages[0].settings['network']['num_classes']}"
    if not _trains_classifier(plan, head):
        raise InputError(
            f"{old} {images}: a new one has to be trained, which trials and sweeps do (finetune.which=all, and "
            "finetune.method=network or classifier, or finetune.train_classifier=true)"
        )
    return (f"{old} {images}: it is left out, and a new one begins at random",)


def _trains_classifier(plan: TrialPlan, head: str | None) -> bool:
    finetune = plan.config.finetune
    if finetune.which == "none":
        return False
    whole = [name for spec in plan for name in spec.settings.get("parameters", ())]
    as_part = finetune.method == "filters" and (finetune.train_classifier or f"{head}.weight" in whole)
    return finetune.method in ("network", "classifier") or as_part


def networks_of(weights: InitialWeights, store: Store) -> list[str]:
    """Return the networks of libraries that weights in the store are of, by names and shapes."""
    return networks_with(_shapes(store, weights.key)[0])


def _check_only_tested(plan: TrialPlan, source: str) -> None:
    """Check that nothing is trained of a network that has correction units: they take part in no ranking or tuning."""
    others = [spec.stage for spec in plan if spec.stage not in ("init", "evaluate")]
    if others:
        raise InputError(
            f"the network in {source} has correction units, so that it can be evaluated, but has no {others[0]} of its "
            "own: `finetune.which` must be none"
        )


def _add_corrections(network: nn.Module, shapes: Mapping[str, Tensor], source: str) -> None:
    try:
        add_given_corrections(network, shapes)
    except (InputError, AttributeError) as error:  # no such layer, or not so many filters
        raise InputError(f"the correction units in {source} do not fit: {error}") from error


def _shapes(store: Store, key: str) -> tuple[dict[str, Tensor], str]:
    """Return {name: the shape, as a tensor on the meta device} of weights in the store, and the file they are from.

    Which filters have correction units is there as it is: they are built by it.
    """
    artifact = find_whole(store, key)
    if artifact is None:
        raise InputError(f"`model.weights`: the store has no weights {key}; give their file again (--init)")
    tensors = {
        name: tensor if has_corrections([name]) else torch.empty(tensor.shape, device="meta")
        for name, tensor in artifact.tensors("model").items()
    }
    return tensors, _FILES.get(key) or artifact.json("facts")["source"]


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
