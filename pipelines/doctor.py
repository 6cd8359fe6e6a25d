"""What stands in a sweep's way: ``python -m pipelines.doctor``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from engine import variables
from engine.errors import InputError
from engine.extensions import import_modules
from engine.orchestration.examination.examine import examine
from engine.orchestration.examination.findings import Finding
from engine.orchestration.examination.whereabouts import cluster_source, described_places
from engine.orchestration.machines import is_private, slots_of_this_machine
from engine.orchestration.options import SweepOptions
from engine.report.terminal import make_console, say
from engine.report.text_tables import Table
from pipelines._command_line import run


@dataclass(frozen=True)
class DoctorOptions:
    """Look at all that a sweep with the same options would rest on: store, databases, machines; say what to do.

    Nothing is computed. The exit code is 0 if all is well, 1 if something is to be done.
    """

    home: Path = variables.or_variable(variables.HOME, variables.path, Path("runs"))
    """Folder for everything that is written."""
    storage: Annotated[str | None, tyro.conf.arg(metavar="URL")] = variables.or_variable(variables.STORAGE)
    """Optuna storage URL; sqlite in HOME if not given."""
    tracker: Annotated[str, tyro.conf.arg(metavar="NAME")] = "mlflow"
    """What the trials' runs are written to; only MLflow's place is looked at."""
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = variables.or_variable(variables.TRACKING)
    """Where MLflow's runs are: sqlite:///FILE, a PostgreSQL, or http://HOST:PORT of a server; in HOME if not given."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="PLACE")] = variables.or_variable(
        variables.STORE, variables.path
    )
    """Where the stages' artifacts are: a folder, or s3://BUCKET/PREFIX, gs://… or az://…; HOME/store if not given."""
    ray_address: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = variables.or_variable(variables.CLUSTER)
    """Address of a running Ray cluster, HOST:PORT or auto; this machine alone if not given, as with "local"."""
    slots: Annotated[int | None, tyro.conf.arg(metavar="N")] = variables.or_variable(variables.SLOTS, int)
    """Stages that run at once."""
    cpus_per_slot: int = variables.or_variable(variables.CPUS_PER_SLOT, int, 1)
    """Cores of each slot."""
    gpus_per_slot: Annotated[float | None, tyro.conf.arg(metavar="X")] = variables.or_variable(
        variables.GPUS_PER_SLOT, float
    )
    """GPUs of each slot."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import", metavar="MODULE ...")] = ()
    """Modules of yours that the sweep imports."""


def main(options: DoctorOptions) -> int:
    """Print what is found; return 1 if something is to be done."""
    console = make_console()
    given = SweepOptions(**{item.name: getattr(options, item.name) for item in fields(options)})
    import_modules(given.imports)
    try:
        given.check_values()
    except InputError as error:
        say(console, finding_table([Finding("options", str(error), "mend it, and ask again: no more was looked at")]))
        say(console, "1 to be mended")
        return 1
    say(console, "\n".join(line + cluster_source(given) * (not n) for n, line in enumerate(described_places(given))))
    found, slots = [], None
    if is_private(given):
        try:
            slots = slots_of_this_machine(given)
        except InputError as error:
            found.append(Finding("slots", str(error), "lower --slots, --cpus-per-slot or --gpus-per-slot"))
        else:
            cores = f"{slots.cpus} core{'s' * (slots.cpus > 1)}"
            found.append(Finding("slots", f"{slots.n_slots} on {slots.device}, {cores} each"))
    found += examine(given, slots)
    try:
        given.check()
    except InputError as error:
        if str(error) not in [one.said for one in found]:
            found.append(Finding("options", str(error), "mend it as the sentence says"))
    say(console, finding_table(found))
    n_faults = sum(finding.is_fault for finding in found)
    say(console, f"{n_faults} to be mended" if n_faults else "all is well")
    return 1 if n_faults else 0


def finding_table(found: Sequence[Finding]) -> Table:
    """Return findings as a table, with what to do below what it is about."""
    rows = [
        ("to do" if one.is_fault else "well", one.what, one.said + (f"\n→ {one.remedy}" if one.is_fault else ""))
        for one in found
    ]
    return Table("", ("", "what", "how it is"), rows)


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(DoctorOptions, main, program="doctor", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
