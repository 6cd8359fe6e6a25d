"""SQLite files on network file systems are noticed by where they lie."""

from pathlib import Path

import pytest

from engine.orchestration.databases import network_disks
from engine.orchestration.databases.network_disks import network_file_system, warning_of

MOUNTINFO = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:35 / /mnt/shared rw,relatime shared:20 - nfs4 server:/export rw,vers=4.2
41 40 254:1 / /mnt/shared/local rw - xfs /dev/vdb rw
42 22 0:50 / /mnt/my\\040disk rw,nosuid - fuse.sshfs me@host:/ rw
43 22 0:51 / /mnt/sharedother rw - ext4 /dev/vdc rw
"""


@pytest.fixture(autouse=True)
def _mounts(tmp_path, monkeypatch) -> None:
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTINFO)
    monkeypatch.setattr(network_disks, "MOUNTS", file)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/mnt/shared/runs", "nfs4"),
        ("/mnt/shared", "nfs4"),
        ("/mnt/shared/local/runs", None),
        ("/mnt/sharedother/runs", None),
        ("/mnt/my disk/x", "fuse.sshfs"),
        ("/home/me", None),
    ],
)
def test_the_deepest_mount_decides(path: str, kind: str | None) -> None:
    assert network_file_system(Path(path)) == kind


def test_a_sqlite_file_there_is_told_with_the_way_out() -> None:
    said = warning_of("sqlite:////mnt/shared/runs/optuna.db")
    assert said.startswith("/mnt/shared/runs/optuna.db lies on a network file system (nfs4)")
    assert "postgresql://HOST/NAME" in said
    assert warning_of("sqlite:////home/me/optuna.db") == ""
    assert warning_of("postgresql://host/x") == ""


def test_where_the_system_does_not_tell_nothing_is_said(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(network_disks, "MOUNTS", tmp_path / "none")
    assert warning_of("sqlite:////mnt/shared/runs/optuna.db") == ""
