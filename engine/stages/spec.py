"""A stage as a value: what it computes, from what, and the key that names its artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

from engine.digest import digest


@dataclass(frozen=True)
class StageSpec:
    """One node of a trial's pipeline. Everything here is JSON: a spec travels between processes as it is.

    Attributes:
        stage: a registered stage's name.
        version: that stage's version when the spec was made.
        settings: the settings that its numbers depend on, and no others.
        inputs: {role: key} of the artifacts that it reads.
        data: key of the data set and its splits.
        seed: what its randomness is derived from; None where it has none of its own.
        numerics: what else changes numbers, as ``Numerics.to_key`` has it: {"device": "cpu", "threads": of the CPU}, or
            {"device": "cuda", "precision": "fp32"}.
        watch: what is measured beside the work, and how; it changes no file of the artifact and is no part of the key.
        most_epochs: how many epochs it tells at most; None where nobody says. No part of the key either.
    """

    stage: str
    version: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    data: str
    seed: int | None
    numerics: Mapping[str, Any]
    watch: Mapping[str, Any] = field(default_factory=dict)
    most_epochs: int | None = None

    @cached_property
    def key(self) -> str:
        """Return the content hash that names the artifact (32 hexadecimal digits)."""
        return digest(self.identity())[:32]

    def identity(self) -> dict[str, Any]:
        """Return all that the artifact's files depend on, as a JSON value: everything but what is watched."""
        return {name: value for name, value in asdict(self).items() if name not in ("watch", "most_epochs")}

    @cached_property
    def watch_digest(self) -> str:
        """Return a hash of what is watched (12 hexadecimal digits): records of one measure alike carry the same."""
        return digest(dict(self.watch))[:12]

    def to_json(self) -> dict[str, Any]:
        """Return the spec as a JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the spec of ``to_json``."""
        return cls(**value)
