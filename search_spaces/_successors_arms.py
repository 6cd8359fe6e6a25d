"""Networks × what they are trained on × ways to tune them, as arms, with the comparisons that are declared of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.settings import TrialConfig
from engine.spaces import Arm, Comparison, LeaveOneOut, Part, Space
from search_spaces._successors import AUGMENTED, LABELLED, NETWORKS, RATE, UNLABELLED, UNTUNED

TUNINGS: dict[str, Mapping[str, Any]] = {UNTUNED: {"finetune.which": "none"}, **LABELLED, **UNLABELLED}
TUNED = [tuning for tuning in TUNINGS if tuning != UNTUNED]
INHIBITED = [network for network in NETWORKS if network != "plain"]
ADDED = [added for added in AUGMENTED if added]

_PLACEBO = {"push_pull.variant": "2020", "push_pull.h": 1.0, "push_pull.alpha": 1.0}
_KINDS = ("noise", "blur")
"""Of what is declared: the kind that is tuned on, and one that is not."""


def arm_name(network: str, tuning: str, added: str = "") -> str:
    """Return an arm's name: "plain + augmix, most"."""
    return f"{network}{added}, {tuning}"


def successors_space(
    name: str, base: TrialConfig, rates: Mapping[str, float], *, view: str, description: str, n_seeds: int = 6
) -> Space:
    """Return every network, trained in every way, tuned in every way, and what is declared of them.

    Args:
        name: of the space.
        base: what all arms have in common.
        rates: {way of tuning: its learning rate}, of all that have one.
        view: how it is shown.
        description: in a sentence.
        n_seeds: of each arm.
    """
    return Space(
        name=name,
        description=description,
        base=base,
        arms=tuple(_Arms(base, rates).all()),
        ablations=(_Arms(base, rates).method(),),
        comparisons=tuple(_comparisons()),
        n_seeds=n_seeds,
        view=view,
    )


@dataclass(frozen=True)
class _Arms:
    base: TrialConfig
    rates: Mapping[str, float]

    def all(self) -> Iterator[Arm]:
        for added in AUGMENTED:
            for network in NETWORKS:
                for tuning in TUNINGS:
                    yield Arm(
                        arm_name(network, tuning, added),
                        self._settings(network, tuning, added),
                        control=network == "plain" and tuning == UNTUNED and not added,
                    )

    def method(self) -> LeaveOneOut:
        """Return what each part of the push–pull layer of 2024 with its most affected filters tuned contributes."""
        return LeaveOneOut(
            name="method",
            full=self._settings("push-pull 2024", "most"),
            parts=(
                Part("push-pull", self._instead("plain", "most"), control=_PLACEBO),
                Part(
                    "selection",
                    self._instead("push-pull 2024", "all"),
                    control=self._instead("push-pull 2024", "random"),
                ),
                Part("tuning", self._instead("push-pull 2024", UNTUNED)),
            ),
            outcomes=("noise",),
        )

    def _settings(self, network: str, tuning: str, added: str = "") -> dict[str, Any]:
        rate = {RATE: self.rates[tuning]} if tuning in self.rates else {}
        return {**NETWORKS[network], **AUGMENTED[added], **TUNINGS[tuning], **rate}

    def _instead(self, network: str, tuning: str) -> dict[str, Any]:
        """Return an arm's settings as changes of the full method's, what that sets and the arm does not included."""
        flat = self.base.flat()
        unset = {path: flat[path] for path in self._settings("push-pull 2024", "most")}
        return unset | self._settings(network, tuning)


def _comparisons() -> Iterator[Comparison]:
    plain = arm_name("plain", UNTUNED)
    for tuning in TUNED:
        if tuning != "statistics":
            yield Comparison(arm_name("plain", tuning), arm_name("plain", "statistics"), _KINDS)
    for tuning in LABELLED:
        if tuning != "most":
            yield Comparison(arm_name("plain", "most"), arm_name("plain", tuning), ("noise",))
    for network in INHIBITED:
        yield Comparison(arm_name(network, UNTUNED), plain, _KINDS)
    yield Comparison(arm_name("push-pull 2024", UNTUNED), arm_name("push-pull 2020", UNTUNED), _KINDS)
    for added in ADDED:
        yield Comparison(arm_name("plain", UNTUNED, added), plain, _KINDS)
    for added in ADDED:
        yield Comparison(arm_name("push-pull 2020", UNTUNED, added), arm_name("plain", UNTUNED, added), _KINDS)
    for added in ADDED:
        yield Comparison(arm_name("plain", "most", added), arm_name("plain", UNTUNED, added), ("noise",))
