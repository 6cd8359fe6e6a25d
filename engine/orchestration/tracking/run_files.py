"""The files of a run: its texts as they are, its figures drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from engine.orchestration.tracking.tracker_kinds import draw_figure
from engine.whole_files import written_whole

_PNG_COMPRESSION = 3
"""Of 9: beyond it files become little smaller, and writing them takes longest of all that a figure costs here."""


def write_files(folder: Path, texts: Mapping[str, str], figures: Mapping[str, Any]) -> None:
    """Write files into a folder, each whole or not at all.

    Args:
        folder: of the run; it is made.
        texts: {file's name, which may have folders: text}.
        figures: {file's name: what ``draw_figure`` makes an image of}.
    """
    for name, text in texts.items():
        with written_whole(folder / name) as scratch:
            scratch.write_text(text, encoding="utf-8")
    for name, figure in figures.items():
        image = draw_figure(figure)
        with written_whole(folder / name) as scratch:
            image.save(scratch, "PNG", compress_level=_PNG_COMPRESSION)


def folder_of(address: str) -> Path | None:
    """Return the folder of a place on this machine, as MLflow notes it: file:///…; None for a place elsewhere."""
    parsed = urlsplit(address)
    return Path(url2pathname(parsed.path)) if parsed.scheme == "file" and not parsed.netloc else None
