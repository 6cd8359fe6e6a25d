"""Room on a disk, also on systems that cannot reserve it."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.reservation import reserve

N_BYTES = 2**20


def test_what_a_file_has_already_is_not_wanted_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)  # as on macOS
    monkeypatch.setattr(os, "fstatvfs", lambda file: SimpleNamespace(f_bavail=N_BYTES // 2, f_frsize=1))
    with (tmp_path / "whole").open("w+b") as file:
        file.write(os.urandom(N_BYTES))
        file.flush()
        os.fsync(file.fileno())  # it has its blocks
        reserve(file.fileno(), N_BYTES)
        with pytest.raises(OSError, match=r"3\.15 MB are wanted") as refused:
            reserve(file.fileno(), 3 * N_BYTES)
    assert refused.value.errno == errno.ENOSPC
    assert (tmp_path / "whole").stat().st_size == N_BYTES
