"""What else than settings changes a stage's numbers: device, threads, precision, and how a training's step is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch

from engine.errors import InputError
from engine.precision import check_precision, computing_in


@dataclass(frozen=True)
class Numerics:
    """What numbers depend on beside settings.

    Attributes:
        device: type of the device, "cpu" or "cuda".
        threads: of the CPU. There sums are cut into as many parts, so that another number gives other last digits.
        precision: of networks' passes, "fp32", "tf32" or "bf16".
        strict: whether a GPU repeats all to the bit; what it cannot is refused.
        captured: whether a training's steps on a GPU are recorded once and replayed (``engine.training.captured``).
        compiled: whether a training's passes through its network are compiled (``engine.training.compiled``).
        folded: whether a network is tested with its batch normalisations in its convolutions
            (``engine.layers.folding``).
    """

    device: str = "cpu"
    threads: int = 1
    precision: str = "fp32"
    strict: bool = False
    captured: bool = False
    compiled: bool = False
    folded: bool = False

    def check(self) -> None:
        """Check that the kind of device can do what is asked of it.

        Raises:
            InputError: it cannot.
        """
        check_precision(self.precision, self.device)
        for asked, flag in ((self.strict, "--strict"), (self.captured, "--capture-steps")):
            if asked and self.device == "cpu":
                raise InputError(f"{flag} is for GPUs: on CPUs the same key gives the same bits as it is")
        if self.strict and self.compiled:
            raise InputError(
                "--strict and --compile-steps exclude each other: whether what is compiled repeats to the bit "
                "is not known"
            )

    def to_key(self, *, tests: bool = True) -> dict[str, Any]:
        """Return what of this is in keys: on CPUs fp32 goes without saying, and what is for GPUs alone is left out.

        Args:
            tests: whether the stage tests a network; in keys of another one nothing says how that is done.
        """
        asked = ("compiled", *(("folded",) if tests else ()))
        if self.device == "cpu":
            precision = {} if self.precision == "fp32" else {"precision": self.precision}
            flags = {name: True for name in asked if getattr(self, name)}
            return {"device": self.device, "threads": self.threads, **precision, **flags}
        flags = {name: True for name in ("strict", "captured", *asked) if getattr(self, name)}
        return {"device": self.device, "precision": self.precision, **flags}

    @classmethod
    def of_key(cls, numerics: Mapping[str, Any]) -> Self:
        """Return the numerics of ``to_key``; without threads, those that the process has."""
        return cls(**{"threads": torch.get_num_threads(), **numerics})

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Compute so meanwhile, whatever the process does otherwise.

        Raises:
            InputError: the device at hand cannot.
        """
        before = torch.get_num_threads()
        if self.threads != before:
            torch.set_num_threads(self.threads)
        try:
            with computing_in(self.precision, self.device, strict=self.strict):
                yield
        finally:
            if self.threads != before:
                torch.set_num_threads(before)
