"""What a process that Ray starts ahead of its work imports for a stage worker, if it has been left a ticket for it.

Ray starts as many processes as there are cores before it is asked for any, and imports in each of them, while it is
itself still starting, the modules that a variable names. Torch takes more than a second there, which would else begin
when the first worker is made. Not every process becomes a stage worker: there is a ticket for each that may, a file,
and who removes it has it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.environment import put_back

TICKETS = "ROBUSTUNE_TICKETS"
"""The variable that tells the processes of a private Ray in which folder the tickets are."""
PRELOADED = "RAY_preload_python_modules"
"""The variable of Ray's: what each process imports before it takes work."""
_PATH = "PYTHONPATH"


@contextmanager
def processes_ahead(n_workers: int) -> Iterator[None]:
    """Have so many processes of the Ray that is started meanwhile import what a stage worker does, at once.

    Nothing changes where the variable of Ray's is set already.
    """
    if not n_workers or PRELOADED in os.environ:
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="robustune-tickets-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for number in range(n_workers):
        (folder / str(number)).touch()
    path = os.pathsep.join(filter(None, (_place(Path(__file__)), os.environ.get(_PATH))))
    with put_back(_PATH, TICKETS, PRELOADED):
        os.environ |= {_PATH: path, TICKETS: str(folder), PRELOADED: __name__}
        yield


def _place(file: Path) -> str:
    """Return the folder from which the project of a file of ours is imported; "" where Python looks in any case.

    What the variable names comes before the standard library, and an environment's packages may not.
    """
    folder = file.parents[3]
    return "" if folder.name in ("site-packages", "dist-packages") else str(folder)


def take_ticket(folder: Path) -> bool:
    """Return whether this process got one of the tickets in a folder; who gets the last one removes it."""
    with contextlib.suppress(OSError):
        for ticket in list(folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):  # another one was faster
                ticket.unlink()
                with contextlib.suppress(OSError):
                    folder.rmdir()
                return True
    return False


def _import_ahead() -> None:
    folder = os.environ.pop(TICKETS, "")
    if folder and take_ticket(Path(folder)):
        with contextlib.suppress(Exception):  # the worker's own import will say what is wrong
            import engine.orchestration.cluster.stage_worker
            import engine.orchestration.cluster.worker_device
            import engine.stages.catalogue
            import engine.stages.prepared
            import engine.stages.runner  # noqa: F401


_import_ahead()
