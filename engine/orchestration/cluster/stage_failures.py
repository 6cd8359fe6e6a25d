"""What an error of a stage says: of the trial, which a result is, or of the machines, which is none."""

from __future__ import annotations

import errno
import re
from typing import Any

from engine.errors import InputError
from engine.out_of_memory import is_out_of_memory
from engine.store.artifact import CorruptArtifactError
from engine.store.attempts import StoreFaultError

_REFUSALS = (
    "EIO",
    "ESTALE",
    "ENOSPC",
    "EROFS",
    "EDQUOT",
    "ENODEV",
    "ENOTCONN",
    "ECONNRESET",
    "ECONNREFUSED",
    "ECONNABORTED",
    "EPIPE",
    "ETIMEDOUT",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "ENETDOWN",
    "ENETUNREACH",
    "EREMOTEIO",
)
"""How disks and networks refuse, and not a file that a stage has named wrongly."""
_OF_MACHINES = frozenset(getattr(errno, name) for name in _REFUSALS if hasattr(errno, name))
"""Their numbers; macOS has no EREMOTEIO."""
_STAYS = frozenset({errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EPERM})
"""What stays so until a person does something."""
_NUMBER = re.compile(r"os error (\d+)")


def failure_of(stage: str, key: str, error: Exception) -> dict[str, Any]:
    """Return what a stage's error means: {"reason"} and, each only where it is so,

    - "lasting": True where it would come again whoever computed the stage: it is a result;
    - "missing": the key of an artifact that is gone, though it was there;
    - "out_of_memory": True for lack of it;
    - "infrastructure": True for what happened to machines, store or network, which says nothing of the trial;
    - "passing": True of such, where it may be over in seconds;
    - "broken": True where the process can compute nothing any more; of errors that do not say so,
      ``WorkerDevice.after`` finds out.

    Args:
        stage: its name.
        key: its key.
        error: what was raised.
    """
    import torch

    from engine.stages import MissingInputError
    from engine.stages.prepared import MissingDataError
    from engine.training import TrainingDivergedError

    named = f"{stage}: {type(error).__name__}: {error}"
    if isinstance(error, MissingInputError):
        return {"reason": str(error), "missing": error.key, "infrastructure": True}
    if isinstance(error, CorruptArtifactError):  # what it reads, or has made, was cleaned up in this moment
        return {"reason": str(error), "missing": key, "infrastructure": True}
    if isinstance(error, TrainingDivergedError | InputError):  # what its settings, or its inputs, lead to
        return {"reason": f"{stage}: {error}", "lasting": True}
    if is_out_of_memory(error):
        return {"reason": named, "out_of_memory": True, "infrastructure": True}
    if isinstance(error, torch.AcceleratorError):
        return {"reason": named, "infrastructure": True, "broken": True}
    if isinstance(error, MissingDataError):
        return {"reason": named, "infrastructure": True}
    number = _number(error)
    if isinstance(error, StoreFaultError) or number in _OF_MACHINES:
        return {"reason": named, "infrastructure": True, "passing": number not in _STAYS}
    return {"reason": named}


def _number(error: Exception) -> int | None:
    """Return the system's number of an error, or of that which it was raised from."""
    for one in (error, error.__cause__):
        if isinstance(one, OSError) and one.errno is not None:
            return one.errno
        found = _NUMBER.search(str(one))
        if isinstance(one, Exception) and found:  # safetensors has its own kind of error for the disk's
            return int(found[1])
    return None
