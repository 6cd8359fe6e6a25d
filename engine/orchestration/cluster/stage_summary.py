"""What of an artifact travels: enough for a trial to go on, so that no other machine has to look into the store.

A worker that has computed a stage says so itself. On another machine a network file system may remember for a minute
that the artifact was not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.store.artifact import Artifact

VALUES = ("errors", "metrics")
"""Files of an artifact whose values trials report: what an evaluation has come to, and what a stage measures itself."""


def summary_of(artifact: Artifact) -> dict[str, Any]:
    """Return {"history", "seconds", "host": where it was made, "values": {name: value of a file of ``VALUES``}}.

    Raises:
        CorruptArtifactError: a file is missing or its checksum differs.
    """
    manifest = artifact.manifest
    return {
        "history": artifact.history,
        "seconds": float(manifest.get("seconds", 0.0)),
        "host": manifest.get("environment", {}).get("host", ""),
        "values": {name: artifact.json(name) for name in VALUES if f"{name}.json" in manifest["files"]},
    }
