"""Packages that only some rankings need, and that may be absent or broken."""

from __future__ import annotations


def why_not(module: str, error: Exception) -> str:
    """Return the end of a sentence that says why a module cannot be imported, in one line.

    Args:
        module: the top-level name that was imported.
        error: what its import raised: of a broken installation, anything.
    """
    if isinstance(error, ModuleNotFoundError) and error.name == module:
        return "is not installed"
    reason = (str(error).strip().splitlines() or ["no reason given"])[0]
    return f"cannot be imported ({type(error).__name__}: {reason})"
