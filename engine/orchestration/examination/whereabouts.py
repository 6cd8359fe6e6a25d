"""What a sweep says first: where its study, its store and its tracking are, and how to look at them from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from engine import variables
from engine.redaction import hide_credentials
from engine.report.commands import watching_commands

_PARTS = (
    ("study", "storage", "storage_url"),
    ("store", "store", "store_place"),
    ("tracking", "tracking_uri", "tracking_url"),
)
"""What is kept where: its name, the option that says so, and the property that has the place."""
_SLOTS = ("slots", "cpus_per_slot", "gpus_per_slot")


class Whereabouts(Protocol):
    """What is needed of a sweep's options."""

    @property
    def home(self) -> Path:
        """Return the sweep's folder."""

    @property
    def tracker(self) -> str:
        """Return the tracker's name."""

    @property
    def tracking_uri(self) -> str | None:
        """Return the tracking's address as it was given."""

    @property
    def storage_url(self) -> str:
        """Return the study's address."""

    @property
    def tracking_url(self) -> str:
        """Return where MLflow's runs are."""

    @property
    def tracks_by_mlflow(self) -> bool:
        """Return whether the tracker is MLflow."""


def described_places(options: Whereabouts) -> list[str]:
    """Return where the parts of a sweep are, a line for all that is in HOME, and one for each that is elsewhere."""
    at_home, lines = [], []
    for part, option, place in _PARTS:
        if part == "tracking" and not options.tracks_by_mlflow:
            lines.append(f"tracking: {options.tracker}" + _said(options.tracking_uri))
        elif getattr(options, option) is None:
            at_home.append(part)
        else:
            lines.append(f"{part}: {hide_credentials(str(getattr(options, place)))}" + _from(options, option))
    if at_home:
        named = " and ".join(filter(None, [", ".join(at_home[:-1]), at_home[-1]]))
        lines.insert(0, f"{named} in {options.home.absolute()}" + _from(options, "home"))
    given = [f"{name.replace('_', ' ')} {getattr(options, name):g}{source}" for name, source in _slot_sources(options)]
    return [*lines, *([", ".join(given)] if given else [])]


def cluster_source(options: Whereabouts) -> str:
    """Return where the cluster's address comes from, to be put behind it; "" where it was given, or there is none."""
    return _from(options, "ray_address")


def watched_from_elsewhere(options: Whereabouts) -> list[str]:
    """Return how a person opens both dashboards of a sweep on a cluster from a machine of his own."""
    tracking = options.tracking_url if options.tracks_by_mlflow else None
    return watching_commands(storage=options.storage_url, tracking=tracking, home=options.home)


def _slot_sources(options: Whereabouts) -> list[tuple[str, str]]:
    return [(name, source) for name in _SLOTS if (source := _from(options, name))]


def _from(options: Whereabouts, name: str) -> str:
    source = variables.source_of(options, name)
    return f" ({source})" if source else ""


def _said(address: str | None) -> str:
    return "" if address is None else f" at {hide_credentials(address)}"
