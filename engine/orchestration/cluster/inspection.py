"""What a machine says of itself, as plain values: where it is, which code it runs, what it has, its sight of a store.

Stage workers are admitted by it (``differences``, ``look_for_mark``), and ``python -m pipelines.doctor`` shows it. All
values travel: ``NodeFacts.to_json`` and ``StoreMark`` cross from one machine to another.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from engine.sources import SourceFile, digest_of_package, digest_of_sources

if TYPE_CHECKING:
    from engine.store import Store

PACKAGES = ("engine", "search_spaces", "pipelines")
"""The project's packages, whose code has to be the same everywhere."""
LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-learn-extra",
    "kmedoids",
    "pot",
    "pillow",
    "safetensors",
    "ray",
)
"""Packages that numbers or the talk between machines depend on: their versions have to be the same everywhere."""
VISIBLE_S = 90.0
"""How long a file that one machine has written may stay unseen on another: network file systems remember for up to a
minute that a file was not there."""
_GB = 1e9


@dataclass(frozen=True)
class NodeFacts:
    """What a machine says of itself.

    Attributes:
        host: its name.
        address: its network address, as Ray knows it; "" outside of Ray.
        node: Ray's id of it; "" outside of Ray.
        process: number of the process that says this.
        code: {package of the project, or module of the user's: digest of its Python files; "" where there is none}.
        commit: of the checkout that the engine runs from, with "+" for uncommitted changes; None where that is none.
        versions: {"python" or a library: version; None where it is not installed}.
        cores: of the machine.
        memory_gb: of the machine, in 10⁹ bytes.
        memory_free_gb: of it, what programs could still have.
        disk_free_gb: {folder: what is free where it lies}; of the temporary folder, and those that were asked for.
        gpus: names of the GPUs that torch sees.
        gpu_ids: those that Ray has given to this process.
        cuda: the version that torch was built for; None without.
        clock_s: its clock, in seconds since 1970.
    """

    host: str
    address: str
    node: str
    process: int
    code: Mapping[str, str]
    commit: str | None
    versions: Mapping[str, str | None]
    cores: int
    memory_gb: float
    memory_free_gb: float
    disk_free_gb: Mapping[str, float]
    gpus: tuple[str, ...]
    gpu_ids: tuple[str, ...]
    cuda: str | None
    clock_s: float

    def to_json(self) -> dict[str, Any]:
        """Return the facts as a JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the facts of ``to_json``."""
        known = {item.name: value[item.name] for item in fields(cls)}
        return cls(**{**known, "gpus": tuple(known["gpus"]), "gpu_ids": tuple(known["gpu_ids"])})


def inspect_node(folders: Iterable[str | Path] = (), *, imports: Iterable[str] = ()) -> NodeFacts:
    """Return what the machine of this process says of itself.

    Args:
        folders: whose disks' free space is wanted, beside the temporary folder's.
        imports: modules of the user's whose code counts too, with what they import of his own.
    """
    import torch

    from engine.stages import git_commit

    address, node, gpu_ids = _place_in_ray()
    total_gb, free_gb = memory_gb()
    has_gpus = torch.cuda.is_available()
    return NodeFacts(
        host=socket.gethostname(),
        address=address,
        node=node,
        process=os.getpid(),
        code={**code_digests(), **{module: _digest_of_users(module) for module in imports}},
        commit=git_commit(),
        versions=library_versions(),
        cores=os.cpu_count() or 1,
        memory_gb=total_gb,
        memory_free_gb=free_gb,
        disk_free_gb=disks_free_gb([tempfile.gettempdir(), *folders]),
        gpus=tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())) if has_gpus else (),
        gpu_ids=gpu_ids,
        cuda=torch.version.cuda,
        clock_s=time.time(),
    )


def differences(here: NodeFacts, there: NodeFacts) -> list[str]:
    """Return in which code and versions two machines differ, a phrase each; empty where both compute the same.

    What of a version says only how the package was built ("+cpu", "+cu130") does not count, nor does Python's last
    number: the same code runs.

    Args:
        here: the facts that count.
        there: of the machine that is compared with them.
    """
    found = []
    for package, ours in here.code.items():
        theirs = there.code.get(package, "")
        if not theirs and ours:
            found.append(f"{package} cannot be imported there")
        elif ours != theirs:
            found.append(f"other code in {package} ({_commit(there)}; here {_commit(here)})")
    for library in here.versions:
        ours_at, theirs_at = here.versions[library], there.versions.get(library)
        if _compared(library, ours_at) != _compared(library, theirs_at):
            found.append(f"{library} {theirs_at or 'is missing'} (here {ours_at or 'there is none'})")
    return found


def _commit(facts: NodeFacts) -> str:
    digest = hashlib.sha256("".join(sorted(facts.code.values())).encode()).hexdigest()[:8]
    return f"digest {digest}" + (f", commit {facts.commit[:9]}" if facts.commit else "")


def _compared(library: str, version: str | None) -> str | None:
    """Return what of a version counts."""
    if version is None:
        return None
    return ".".join(version.split(".")[:2]) if library == "python" else version.partition("+")[0]


def code_digests() -> Mapping[str, str]:
    """Return, for each of the project's packages, a digest of the paths and the content of its Python files."""
    return {package: digest_of_package(package) for package in PACKAGES}


def _digest_of_users(module: str) -> str:
    """Return a digest of a user's module and of what it imports from his own files; "" where there is none."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # of the package that it is in
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return ""
    return digest_of_sources([SourceFile(module, Path(spec.origin))])


@cache
def library_versions() -> Mapping[str, str | None]:
    """Return the versions of Python and of the libraries that count; None for one that is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _place_in_ray() -> tuple[str, str, tuple[str, ...]]:
    """Return this machine's address and id in Ray, and the GPUs of this process; empty outside of Ray."""
    import ray

    if not ray.is_initialized():
        return "", "", ()
    context = ray.get_runtime_context()
    gpus = context.get_accelerator_ids().get("GPU", [])
    return ray.util.get_node_ip_address(), context.get_node_id(), tuple(str(one) for one in gpus)


def memory_gb() -> tuple[float, float]:
    """Return the machine's memory, and what of it programs could still have; zeros where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    kilobytes = {name: float(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return kilobytes.get("MemTotal", 0.0) * 1024 / _GB, kilobytes.get("MemAvailable", 0.0) * 1024 / _GB


def disks_free_gb(folders: Iterable[str | Path]) -> dict[str, float]:
    """Return what is free where some folders lie, or would lie; what cannot be asked is left out."""
    found = {}
    for folder in map(Path, folders):
        there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), None)
        if there is not None:
            found[str(folder)] = shutil.disk_usage(there).free / _GB
    return found


@dataclass(frozen=True)
class StoreMark:
    """What one machine has left in a store, so that others can show that they see the same store.

    Attributes:
        key: where it lies.
        host: who left it.
        place: the store as its maker calls it.
    """

    key: str
    host: str
    place: str


def leave_mark(store: Store, place: str) -> StoreMark:
    """Leave a mark in a store that nobody else can have left.

    Args:
        store: a store that can be written.
        place: its folder or address, for people.

    Raises:
        StoreFaultError: the store refuses.
    """
    mark = StoreMark(uuid.uuid4().hex, socket.gethostname(), place)
    with store.attempt(mark.key) as attempt:
        attempt.write_json("mark", {"host": mark.host, "process": os.getpid()})
        store.publish(attempt, {"spec": {"stage": "mark"}, "history": []})
    return mark


def look_for_mark(store: Store, mark: StoreMark, *, timeout_s: float = VISIBLE_S) -> float | None:
    """Return the seconds after which a mark of another machine was seen; None where it never was.

    Args:
        store: the store as this machine sees it; it may be open for reading alone.
        mark: what is looked for.
        timeout_s: how long.
    """
    began, pause_s = time.monotonic(), 0.1
    while store.look_at(mark.key) is None:
        left_s = timeout_s - (time.monotonic() - began)
        if left_s <= 0:
            return None
        time.sleep(min(pause_s, left_s))
        store.look_anew(mark.key)
        pause_s = min(2 * pause_s, 2.0)
    return time.monotonic() - began


def remove_mark(store: Store, mark: StoreMark) -> None:
    """Take a mark away."""
    store.remove(mark.key)
