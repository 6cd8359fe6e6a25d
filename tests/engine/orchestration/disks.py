"""Disks for tests: small ones, read-only ones, and ones that remember what was not there. All need rights to mount."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, size: str = "64m") -> Iterator[Path]:
    """Give a disk of its own in a folder; where that is not allowed, the test is skipped."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
    if subprocess.run(["mount", *options, folder], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, mode: str) -> None:
    """Make a disk read-only ("ro") or writable ("rw"); while a file is being written, that is refused for a moment."""
    end = time.monotonic() + 30
    while True:
        done = subprocess.run(["mount", "-o", f"remount,{mode}", folder], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        assert time.monotonic() < end, done.stderr
        time.sleep(0.02)


def fill(folder: Path) -> Path:
    """Fill a disk to its last byte; return the file that does."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return ballast


SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")
REMEMBERED_S = 30


@contextmanager
def remembering(folder: Path, mount: Path) -> Iterator[Path]:
    """Give a folder as another machine sees it over a network file system: what it did not see, it does not see for
    30 s, whatever has come since. Where no such file system can be mounted, the test is skipped.
    """
    if not (shutil.which("sshfs") and SFTP_SERVER.exists() and os.access("/dev/fuse", os.R_OK | os.W_OK)):
        pytest.skip("needs sshfs, sftp-server and /dev/fuse")
    mount.mkdir()
    times = (f"{name}_timeout={REMEMBERED_S}" for name in ("negative", "entry", "attr", "dcache"))
    ours, servers = socket.socketpair()
    with ours, servers:
        server = subprocess.Popen([SFTP_SERVER], stdin=servers, stdout=servers)
        options = ",".join(("passive", *times))
        client = subprocess.Popen(["sshfs", f":{folder}", mount, "-f", "-o", options], stdin=ours, stdout=ours)
    try:
        end = time.monotonic() + 10
        while not mount.is_mount():
            if client.poll() is not None or time.monotonic() > end:
                pytest.skip("needs the right to mount a FUSE file system")
            time.sleep(0.02)
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", mount], check=False)
        for process in (client, server):
            process.terminate()
            process.wait(10)
