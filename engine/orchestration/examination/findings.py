"""What an examination finds, as plain values, and what is made of machines' answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.orchestration.cluster.inspection import NodeFacts, differences
from engine.orchestration.cluster.node_survey import NodeAnswer
from engine.orchestration.cluster.slots import counted

LEAST_DISK_GB = 1.0
"""Less free space on a disk is a fault: checkpoints, logs and Ray's own files fill it soon."""
LEAST_MEMORY_GB = 1.0
"""Less memory for a stage's process is a fault: torch and a data set take that much."""
MOST_SKEW_S = 10.0
"""Clocks may differ by so much; leases count as stale after 60 s."""


@dataclass(frozen=True)
class Finding:
    """Something that was looked at.

    Attributes:
        what: what was looked at, in a word or two.
        said: how it is.
        remedy: what to do; "" where all is well.
    """

    what: str
    said: str
    remedy: str = ""

    @property
    def is_fault(self) -> bool:
        """Return whether there is something to do."""
        return bool(self.remedy)


def of_machine(name: str, facts: NodeFacts, n_slots: float) -> list[Finding]:
    """Return what a machine is and has.

    Args:
        name: how people know it.
        facts: what it says of itself.
        n_slots: stages that may run on it at once.
    """
    gpus = f"torch sees {len(facts.gpus)} GPU: {', '.join(facts.gpus)}" if facts.gpus else "torch sees no GPU"
    versions = ", ".join(f"{package} {facts.versions.get(package) or '–'}" for package in ("python", "torch", "ray"))
    code = f"commit {facts.commit[:9]}" if facts.commit else "no commit"
    found = [Finding(f"machine {name}", f"{counted(facts.cores, 'core')}; {gpus}; {versions}; {code}")]
    needed = max(1.0, n_slots) * LEAST_MEMORY_GB
    memory = f"{facts.memory_free_gb:.1f} of {facts.memory_gb:.1f} GB free"
    remedy = f"have fewer --slots there, or end other programs: a stage needs about {LEAST_MEMORY_GB:g} GB"
    if facts.memory_gb:
        found.append(Finding(f"memory of {name}", memory, remedy if facts.memory_free_gb < needed else ""))
    return found + of_disks(name, facts.disk_free_gb)


def of_disks(name: str, free_gb: Mapping[str, float]) -> list[Finding]:
    """Return what is free on a machine's disks, {folder: 10⁹ bytes}."""
    return [
        Finding(
            f"disk of {name}",
            f"{free:.1f} GB free at {folder}",
            "make room there, or name another place" if free < LEAST_DISK_GB else "",
        )
        for folder, free in free_gb.items()
    ]


def of_answers(here: NodeFacts, answers: Iterable[NodeAnswer], *, marked: bool) -> list[Finding]:
    """Return what the machines of a cluster answered, held against this one.

    Args:
        here: what the driver's machine says of itself.
        answers: the others', and its own.
        marked: whether they were to see something in the store.
    """
    found = []
    for answer in answers:
        node, facts = answer.node, answer.facts
        if facts is None:
            found.append(Finding(f"machine {node.name}", answer.fault, "look at that machine, and at Ray's logs there"))
            continue
        found += of_machine(node.name, facts, 1)
        if node.gpus and not facts.gpus:
            remedy = "install torch for its driver there, or give the container its GPUs"
            found.append(Finding(f"GPUs of {node.name}", f"Ray offers {node.gpus:g}, torch sees none", remedy))
        for difference in differences(here, facts):
            found.append(Finding(f"code on {node.name}", difference, "install the same there: no stage runs on it"))
        if abs(answer.skew_s) > MOST_SKEW_S:
            remedy = "set its clock (chrony or ntpd): leases would be taken for stale"
            found.append(Finding(f"clock of {node.name}", f"{answer.skew_s:+.0f} s from this machine's", remedy))
        if marked:
            found.append(_of_sight(answer))
    return found


def _of_sight(answer: NodeAnswer) -> Finding:
    what = f"store on {answer.node.name}"
    remedy = "mount the same folder there, or use a bucket: --store s3://BUCKET/PREFIX"
    if answer.fault:
        return Finding(what, answer.fault, remedy)
    if answer.seen_s is None:
        return Finding(what, "what this machine writes there is not seen", remedy)
    return Finding(what, f"what this machine writes there is seen within {answer.seen_s:.1f} s")
