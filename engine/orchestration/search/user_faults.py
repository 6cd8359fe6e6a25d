"""What a user's own sampler or pruner raises while a sweep runs: it stops the sweep in order, nothing done is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.orchestration.databases.patience import RefusedError
from engine.registry import Registry


@contextmanager
def stops_in_order(registry: Registry[Any], name: str) -> Iterator[None]:
    """Have an error in the block stop the sweep like a database that refuses, if a user's code is asked in it.

    Args:
        registry: of samplers or of pruners.
        name: which of them is asked.

    Raises:
        RefusedError: a user's failed, and how.
    """
    try:
        yield
    except RefusedError:  # a sentence already
        raise
    except Exception as error:  # whatever a user's code raises
        if registry.source_digest(name) is None:
            raise  # one of the project's own: the traceback is wanted
        raise RefusedError(f"{registry.kind} {name!r} fails: {type(error).__name__}: {error}") from error
