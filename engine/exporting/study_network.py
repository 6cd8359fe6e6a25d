"""A study's network written into a folder, as the command and a notebook ask for it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from engine.exporting.export_folder import EXAMPLE, Exported, check_folder, check_formats
from engine.exporting.exported import WEIGHTS
from engine.exporting.replacing import check_exported, in_place_of
from engine.exporting.taken_home import take_home
from engine.report.commands import typed
from engine.report.exported_trial import ExportedTrial, exported_trial
from engine.report.notebook import as_html
from engine.report.results import Results
from engine.report.text_tables import Part, Table
from engine.spaces.arms import WINNER
from engine.store import open_store
from engine.store.cleaning import describe_bytes


@dataclass(frozen=True, repr=False)
class ExportedNetwork:
    """A network of a study that was written into a folder; a notebook shows which it is, and the files.

    Attributes:
        folder: where ``load_exported`` finds it.
        study: the study's name.
        exported: the trial that it is of, and why it is that one.
        written: the files, and what was left out.
        data: the data set's name.
        classes: names, one for each logit; None where the store has no images of the data set any more.
    """

    folder: Path
    study: str
    exported: ExportedTrial
    written: Exported
    data: str
    classes: tuple[str, ...] | None

    def __repr__(self) -> str:
        files = ", ".join(each.file for each in self.written.files)
        return f"ExportedNetwork({str(self.folder)!r}: {files}; study {self.study!r}, {self._which})"

    def _repr_html_(self) -> str:
        return as_html(self.parts())

    def parts(self) -> list[Part]:
        """Return which network it is, and the files with how near their logits come to the stored network's."""
        has_weights = any(each.file == WEIGHTS for each in self.written.files)
        command = shlex.join([typed("python"), str(self.folder / EXAMPLE)])
        try_it = f"; try it: {command}" if has_weights else ""
        no_names = f"the store has no images of {self.data} any more, so {self.folder} names no classes"
        return [
            f"study {self.study}, {self._which}: {self.exported.reason}",
            *self.exported.notes,
            *([no_names] if self.classes is None else []),
            _files_table(self.written),
            *(f"left out: {sentence}" for sentence in self.written.left_out),
            f"wrote {self.folder}{try_it}",
        ]

    @property
    def _which(self) -> str:
        return f"trial {self.exported.trial.number}, seed {self.exported.trial.seed}"


def export_study(
    read: Callable[[], Results],
    folder: Path,
    *,
    store: str,
    what: str = WINNER,
    formats: Sequence[str] = (),
    replace: bool = False,
) -> ExportedNetwork:
    """Write a study's network into a folder.

    Args:
        read: gives the study's results; called once folder and formats are known to do.
        folder: a new folder, or an empty one.
        store: where the study's artifacts are.
        what: as of ``exported_trial``.
        formats: as of ``export_network``; all that can be written if none is named.
        replace: whether a network that was exported into the folder before is replaced; nothing else is ever removed.

    Raises:
        InputError: no such study, no such trial, a folder that has other files, a format that cannot be written, or
            artifacts that were cleaned up.
    """
    check_formats(formats)
    replaced = replace and folder.exists()
    if replaced:
        check_exported(folder)
    else:
        check_folder(folder)
    results = read()
    exported = exported_trial(results, what)
    artifacts = open_store(store, read_only=True)
    with in_place_of(folder) if replaced else nullcontext(folder) as place:
        written, names = take_home(results, exported, artifacts, place, formats=formats or None)
    data = results.space.config(exported.trial.settings, seed=exported.trial.seed).data.name
    return ExportedNetwork(folder, results.study, exported, written, data, None if names is None else tuple(names))


def _files_table(written: Exported) -> Table:
    rows = [
        (each.file, describe_bytes(each.n_bytes), _agreement(each.difference), each.compared_with)
        for each in written.files
    ]
    return Table("", ("file", "size", "its logits", "compared with"), rows, align="lrll")


def _agreement(difference: float) -> str:
    return f"within {difference:.0e} of the largest" if difference else "the same bits"
