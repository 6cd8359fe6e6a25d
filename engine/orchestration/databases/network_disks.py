"""Databases in files that several machines can see: SQLite's write-ahead log holds for programs of one machine only."""

from __future__ import annotations

from pathlib import Path

from engine.orchestration.databases.addresses import sqlite_file

MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux tells which file system lies where."""
_FUSE = ("sshfs", "s3fs", "rclone", "gcsfuse", "glusterfs", "juicefs", "mount-s3", "ceph", "ceph-fuse")
_NETWORKED = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "orangefs"),
    *(f"fuse.{name}" for name in _FUSE),
}


def network_file_system(path: Path) -> str | None:
    """Return the kind of network file system that a path lies on, such as "nfs4"; None for another, or an unknown."""
    try:
        mounts = MOUNTS.read_text().splitlines()
    except OSError:  # another system than Linux
        return None
    place, found, depth = path.absolute().resolve(), None, -1
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        if not after:
            continue
        point = Path(_plain(before.split()[4]))
        if len(point.parts) >= depth and place.is_relative_to(point):
            found, depth = after.split()[0], len(point.parts)
    return found if found in _NETWORKED else None


def _plain(text: str) -> str:
    r"""Return a path without the escapes, such as \040 for a space, that the list of mounts has."""
    return text.encode().decode("unicode_escape").encode("latin-1").decode() if "\\" in text else text


def warning_of(url: str) -> str:
    """Return what a person should know of a SQLite file on a network file system; "" for any other database."""
    file = sqlite_file(url)
    kind = None if file is None else network_file_system(file.parent)
    if kind is None:
        return ""
    return (
        f"{file} lies on a network file system ({kind}), where SQLite holds for one machine at a time: a dashboard or "
        "a second sweep elsewhere may find it damaged; a database that several machines use is PostgreSQL's "
        "(postgresql://HOST/NAME)"
    )
