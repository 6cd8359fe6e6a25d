"""Disks for tests: small ones, and ones that can be made read-only. They need the right to mount."""

import contextlib
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
