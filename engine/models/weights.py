"""Weights that come from elsewhere, put into a model: each must fit, and those that do not are named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from engine.errors import InputError
from engine.models.checkpoint import COUNTER, plain_names

N_NAMED_KEYS = 6
"""How many of the weights that do not fit an error names."""
OPTIONAL = ("normalise.mean", "normalise.std")
"""What a file may go without: the images' statistics. So it may without a push–pull layer's learned strength, and
without counters of batches, on which no response depends."""


def check_fit(model: nn.Module, weights: Mapping[str, Any], *, source: str, head: str | None = None) -> None:
    """Check that weights are a model's, by names and shapes.

    Args:
        model: which it may be on the meta device.
        weights: {name: tensor, or what has its ``shape``}.
        source: where they are from, for the error.
        head: the model's classifier, if it may be of another number of classes than the weights'.

    Raises:
        InputError: weights of another shape, or missing, or not expected; those that matter most are named first.
    """
    own = model.state_dict()
    pairs = match_names(own, weights)
    if head is not None and n_other_classes(model, weights, head) is not None:
        own, weights, pairs = (_without(head, own), *_without_head(head, weights, pairs))
    faults = [
        f"{_both_names(name, given)} has shape {tuple(weights[given].shape)} instead of {tuple(own[name].shape)}"
        for name, given in pairs.items()
        if tuple(weights[given].shape) != tuple(own[name].shape) and not name.endswith(COUNTER)
    ]
    faults = [fault for fault in faults if not fault.startswith(OPTIONAL)] or faults  # they follow from the others
    missing = [name for name in own if name not in pairs and not _is_optional(name)]
    faults += [f"{name} is missing" for name in missing]
    known = set(pairs.values())
    faults += [f"{name} is not expected" for name in weights if name not in known and not name.endswith(COUNTER)]
    if faults:
        more = f", and {len(faults) - N_NAMED_KEYS} more" if len(faults) > N_NAMED_KEYS else ""
        hint = ""
        if missing and all(".downsample." in name for name in missing):
            hint = "; its shortcuts have no weights, while those of this network are 1×1 convolutions"
        channels = _other_channels(own, weights, pairs)
        if channels is not None:
            hint += f"; they are for images of {channels} channel{'s' * (channels > 1)} (data.channels={channels})"
        raise InputError(f"the weights in {source} do not fit: {'; '.join(faults[:N_NAMED_KEYS])}{more}{hint}")


def _other_channels(own: Mapping[str, Any], weights: Mapping[str, Any], pairs: Mapping[str, str]) -> int | None:
    """Return how many channels the images of some weights have, if a model's images have others; else None."""
    first = next((name for name, value in own.items() if len(value.shape) == 4), None)
    if first is None or first not in pairs:
        return None
    here, there = tuple(own[first].shape), tuple(weights[pairs[first]].shape)
    differ = len(there) == 4 and here[1] != there[1] and {here[1], there[1]} <= {1, 3}
    return there[1] if differ and (here[0], *here[2:]) == (there[0], *there[2:]) else None


def n_other_classes(model: nn.Module, weights: Mapping[str, Any], head: str) -> int | None:
    """Return how many classes weights have, if that is all in which their classifier is not the model's; else None.

    Args:
        model, weights: as for ``check_fit``.
        head: the model's classifier.
    """
    own = model.state_dict()
    given = match_names(own, weights).get(f"{head}.weight")
    if given is None:
        return None
    here, there = tuple(own[f"{head}.weight"].shape), tuple(weights[given].shape)
    return there[0] if here[1:] == there[1:] and here[0] != there[0] else None


def _without(head: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in (f"{head}.weight", f"{head}.bias")}


def _without_head(
    head: str, weights: Mapping[str, Any], pairs: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return weights, and how their names match a model's, without the classifier's."""
    known = {pairs[name] for name in (f"{head}.weight", f"{head}.bias") if name in pairs}
    return {name: value for name, value in weights.items() if name not in known}, _without(head, pairs)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, source: str, head: str | None = None) -> nn.Module:
    """Put weights into a model and return it; raises ``InputError`` where they do not fit, as ``check_fit``.

    A classifier of another number of classes stays the model's own, if ``head`` names it.
    """
    check_fit(model, weights, source=source, head=head)
    own = model.state_dict()
    found = {
        name: weights[given]
        for name, given in match_names(own, weights).items()
        if weights[given].shape == own[name].shape  # all but counters: compared above
    }
    model.load_state_dict(found, strict=False)  # all but what may be missing
    return model


def match_names(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return {a model's name: the name of what is given for it}, as far as there is something.

    Names may be wrapped on either side; a classifier may have another name, if it is the one that is left.

    Args:
        own, given: {name: what has ``ndim``}.
    """
    plain_own, plain_given = plain_names(own), plain_names(given)
    pairs = {name: plain_given[plain] for plain, name in plain_own.items() if plain in plain_given}
    heads = [_unmatched_heads(own, pairs), _unmatched_heads(given, pairs.values())]
    if len(heads[0]) == len(heads[1]) == 1:
        here, there = heads[0][0], heads[1][0]
        for part in ("weight", "bias"):
            if f"{here}.{part}" in own and f"{there}.{part}" in given:
                pairs[f"{here}.{part}"] = f"{there}.{part}"
    return pairs


def _unmatched_heads(names: Mapping[str, Any], matched: Any) -> list[str]:
    """Return the linear layers among names that have nothing on the other side yet."""
    weights = [name for name, value in names.items() if name not in matched and name.endswith(".weight")]
    return [name.removesuffix(".weight") for name in weights if len(names[name].shape) == 2]


def _both_names(name: str, given: str) -> str:
    """Return a weight's name, and what it is called where it is from, if that is no longer to be seen."""
    return name if plain_names([name]).keys() == plain_names([given]).keys() else f"{name} ({given})"


def _is_optional(name: str) -> bool:
    return name in OPTIONAL or name.endswith(("raw_alpha", ".alpha", COUNTER))
