"""What trials are measured on: the images that they are compared by, and those that they are tested on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.corruption_kinds import by_kind, kind_of
from engine.errors import InputError

MOST_NAMES = 6
"""Corruptions that a sentence names."""


@dataclass(frozen=True)
class Measurement:
    """The images that decide between trials, and those that their results are reported on.

    Attributes:
        objective: corruptions of the validation images: the mean error on them is what trials are compared by.
        tested: corruptions of the test images.
        severities: of both.
        n_validation: how many validation images there are; None if that is not known.
        n_test: how many test images.
        sequences: perturbation sequences of the test images along which answers are to be steady.
        difficulty: how many frames back the one is that a frame is compared with; None without sequences.
    """

    objective: tuple[str, ...]
    tested: tuple[str, ...]
    severities: tuple[int, ...]
    n_validation: int | None = None
    n_test: int | None = None
    sequences: tuple[str, ...] = ()
    difficulty: int | None = None

    def sentences(self) -> list[str]:
        """Return in words what decides, what is tested, and which kinds of it have no part in the choice."""
        if not self.objective:  # a record that does not say
            return []
        lines = [
            f"trials are compared by their {self.objective_in_words()}; they are tested on "
            f"{_images(self.n_test, 'test')} under {_corruptions(self.tested)}{self._along()}"
        ]
        decisive = {kind_of(name) for name in self.objective}
        others = [kind for kind in by_kind(self.tested) if kind not in decisive]
        if others:
            lines.append(
                f"{_listed(others)} {'has' if len(others) == 1 else 'have'} no part in the comparison of trials "
                "(`evaluate.objective` names what has)"
            )
        return lines

    def _along(self) -> str:
        if not self.sequences:
            return ""
        n = len(self.sequences)
        named = f" ({_listed(self.sequences)})" if n <= MOST_NAMES else ""
        plural = "s" if n > 1 else ""
        return f", and along {n} perturbation sequence{plural}{named} of these, difficulty {self.difficulty}"

    def objective_in_words(self) -> str:
        """Return what the objective is: "mean error on 240 validation images under fog, severities 1 and 5"."""
        images = _images(self.n_validation, "validation")
        return f"mean error on {images} under {_corruptions(self.objective)}, {_severities(self.severities)}"

    def agrees(self, other: Measurement) -> bool:
        """Return whether trials of the two can be compared."""
        return all(
            set(getattr(self, name)) == set(getattr(other, name)) for name in ("objective", "tested", "severities")
        )


def planned_measurement(settings: Mapping[str, Any], *, n_validation: int, n_test: int) -> Measurement:
    """Return the measurement of an evaluation that is to come.

    Args:
        settings: of its stage.
        n_validation: validation images.
        n_test: test images.
    """
    objective, tested, severities = (tuple(settings[name]) for name in ("objective", "corruptions", "severities"))
    along = settings.get("sequences", {"names": (), "difficulty": None})
    return Measurement(objective, tested, severities, n_validation, n_test, tuple(along["names"]), along["difficulty"])


def recorded_measurement(errors: Mapping[str, Any]) -> Measurement:
    """Return the measurement of an evaluation's record."""
    validation, test = errors.get("validation", {}), errors["test"]
    judged, along = validation.get("corrupted", []), test.get("sequences", [])
    return Measurement(
        tuple(dict.fromkeys(row["corruption"] for row in judged)),
        tuple(dict.fromkeys(row["corruption"] for row in test["corrupted"])),
        tuple(sorted({row["severity"] for row in (*judged, *test["corrupted"])})),
        validation.get("n_images"),
        test.get("n_images"),
        tuple(row["sequence"] for row in along),
        along[0]["difficulty"] if along else None,
    )


def check_comparable(study: str, known: Iterable[Measurement], planned: Measurement) -> None:
    """Check that a study's trials can be compared with those to come.

    Raises:
        InputError: they were compared by other corruptions, or tested on others.
    """
    for measurement in known:
        if not measurement.agrees(planned):
            raise InputError(
                f"study {study!r} has trials {_in_short(measurement)}, those to come would be {_in_short(planned)}: "
                "they cannot be compared; choose another --study, or the modules and settings that it was begun with"
            )


def _in_short(measurement: Measurement) -> str:
    return (
        f"compared by {_listed(measurement.objective)} and tested on {_listed(measurement.tested)}, "
        f"{_severities(measurement.severities)}"
    )


def _corruptions(names: Sequence[str]) -> str:
    """Return some names, or of many how many of which kind."""
    if len(names) <= MOST_NAMES:
        return _listed(names)
    counts = {kind: len(found) for kind, found in by_kind(names).items()}
    return f"{len(names)} corruptions ({', '.join(f'{count} {kind}' for kind, count in counts.items())})"


def _images(number: int | None, kind: str) -> str:
    return f"{kind} images" if number is None else f"{number} {kind} images"


def _severities(severities: Sequence[int]) -> str:
    if len(severities) > 2 and list(severities) == list(range(severities[0], severities[-1] + 1)):
        return f"severities {severities[0]} to {severities[-1]}"
    return f"severit{'y' if len(severities) == 1 else 'ies'} {_listed(list(map(str, severities)))}"


def _listed(names: Collection[str]) -> str:
    *first, last = list(names) or ["nothing"]
    return f"{', '.join(first)} and {last}" if first else last
