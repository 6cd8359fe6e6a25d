"""The examinations: all that a sweep rests on, for the doctor, and what is quickly seen, for the sweep itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from engine.errors import InputError
from engine.orchestration.cluster.inspection import NodeFacts, StoreMark, disks_free_gb, inspect_node, remove_mark
from engine.orchestration.cluster.slots import SlotPlan, SlotRequest, counted, plan_cluster_slots
from engine.orchestration.databases.network_disks import warning_of
from engine.orchestration.examination import servers_asked
from engine.orchestration.examination.findings import LEAST_DISK_GB, Finding, of_answers, of_machine
from engine.orchestration.examination.whereabouts import Whereabouts
from engine.redaction import hide_credentials
from engine.report.commands import is_server

_LISTENS_S = 0.5
"""How long the short examination waits for a tracking server."""


class Examined(Whereabouts, Protocol):
    """What is needed of a sweep's options."""

    @property
    def store_place(self) -> str:
        """Return where the store is."""

    @property
    def cluster_address(self) -> str | None:
        """Return the cluster's address; None for a private Ray."""

    @property
    def slot_request(self) -> SlotRequest:
        """Return the slots that are asked for."""

    @property
    def imports(self) -> tuple[str, ...]:
        """Return the user's modules."""


def examine(options: Examined, slots: SlotPlan | None) -> Iterator[Finding]:
    """Yield what is found of the home, the store, the servers and the machines, one after the other.

    Args:
        options: the sweep's.
        slots: those of a private Ray; None on a cluster.
    """
    yield of_home(options.home)
    found, store, mark = servers_asked.ask_store(options.store_place)
    yield from found
    try:
        yield servers_asked.ask_database("study", options.storage_url, "Optuna", options.home)
        if options.tracks_by_mlflow:
            yield servers_asked.ask_tracking(options.tracking_url, options.home)
        folders = [options.home] if "://" in options.store_place else [options.home, Path(options.store_place)]
        here = inspect_node(folders, imports=options.imports)
        if options.cluster_address is None:
            yield from of_machine(here.host, here, slots.n_slots if slots is not None else 1)
        else:
            yield from _of_cluster(options, options.cluster_address, here, mark)
    finally:
        if store is not None and mark is not None:
            remove_mark(store, mark)


def _of_cluster(options: Examined, address: str, here: NodeFacts, mark: StoreMark | None) -> Iterator[Finding]:
    from engine.orchestration.cluster.connection import connect, disconnect
    from engine.orchestration.cluster.node_survey import survey_nodes

    try:
        cluster = connect(address)
    except InputError as error:
        yield Finding("cluster", str(error), "start it, or mend --ray-address")
        return
    try:
        yield Finding("cluster", cluster.description)
        answers = survey_nodes(mark, options.store_place, options.imports)
        yield from of_answers(here, answers, marked=mark is not None)
        try:
            slots = plan_cluster_slots(options.slot_request, cluster.machines, cluster.kinds)
            yield Finding(
                "slots",
                f"{slots.n_slots} on {slots.device}, of {counted(slots.cpus, 'core')} and {counted(slots.gpus, 'GPU')}",
            )
        except InputError as error:
            yield Finding("slots", str(error), "change --slots, --cpus-per-slot or --gpus-per-slot")
    finally:
        disconnect()


def of_home(home: Path) -> Finding:
    """Return whether a home can be written, or made."""
    there = next((path for path in (home.absolute(), *home.absolute().parents) if path.exists()), Path("/"))
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding(
            "home", f"{home.absolute()}: " + ("can be written" if there == home.absolute() else "will be made")
        )
    return Finding("home", f"{home.absolute()}: {there} cannot be written", "name another --home, or mend its rights")


def quick_look(options: Whereabouts, disks: Sequence[Path]) -> list[Finding]:
    """Return the faults that are seen within a moment on this machine.

    Args:
        options: the sweep's.
        disks: folders whose disks the sweep writes.
    """
    found = []
    for folder, free in disks_free_gb(disks).items():
        if free < LEAST_DISK_GB:
            found.append(Finding("disk", f"{free:.1f} GB free at {folder}", "make room there"))
    databases = [("study", options.storage_url)]
    if options.tracks_by_mlflow:
        tracking = options.tracking_url
        if not is_server(tracking):
            databases.append(("tracking", tracking))
        elif servers_asked.has_address(tracking) and not servers_asked.listens(tracking, _LISTENS_S):
            said = f"nothing listens at {hide_credentials(tracking)}"
            found.append(Finding("tracking", said, "runs wait in HOME/tracking until it does"))
    for what, url in databases:
        if said := warning_of(url):
            found.append(Finding(what, said, "use PostgreSQL, or a disk of this machine"))
    return found
