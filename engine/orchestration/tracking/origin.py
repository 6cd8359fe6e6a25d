"""Where runs come from: the program that has started them, and the images that they are about."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.data import DataInfo
from engine.digest import digest

_DIGEST = 8
"""Letters of a digest, as MLflow's own have: all of it would fill its column."""


@dataclass(frozen=True)
class Origin:
    """Where the runs of a sweep come from.

    Attributes:
        source: the program; "" if it is not known.
        commit: of the engine's checkout, "+" behind it where files were changed; "" if it is not known.
        data: the data sets, each {"name", "digest", "source": where it is, "context": what it is used for, "profile":
            {what there is to know of it}}.
    """

    source: str = ""
    commit: str = ""
    data: tuple[dict[str, Any], ...] = field(default=())


def program_name() -> str:
    """Return what this process runs: a module's name, a script's path, or a notebook."""
    if "ipykernel" in sys.modules:
        return "notebook"
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    return sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c") else Path(sys.executable).name


def data_sets(info: DataInfo) -> tuple[dict[str, Any], ...]:
    """Return a sweep's data sets: the images, and those that lie there corrupted, where they are not made."""
    settings = info.settings
    profile = {
        "key": info.key,
        "training": info.n_train,
        "validation": info.n_validation,
        "test": info.n_test,
        "classes": info.n_classes,
        "channels": info.channels,
        "image_size": info.image_size,
    }
    name, _, folder = settings.name.partition(":")
    images = {
        "name": name if not folder else Path(folder).name or name,
        "digest": info.key[:_DIGEST],
        "source": settings.name,
        "context": "train, validation, test",
        "profile": profile,
    }
    if info.corruption_folder is None:
        return (images,)
    corrupted = {
        "name": f"{images['name']}, corrupted",
        "digest": digest(dict(info.corruption_files))[:_DIGEST],
        "source": info.corruption_folder,
        "context": "test",
        "profile": {"corruptions": sorted(info.corruption_files)},
    }
    return images, corrupted
