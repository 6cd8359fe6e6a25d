"""Scratch tensors are tensors like others; large ones lie in a file that nobody sees."""

import errno
import os
from pathlib import Path

import pytest
import torch

from engine.data import scratch as module
from engine.data.scratch import scratch
from engine.orchestration.cluster.stage_failures import failure_of

MAPS = Path("/proc/self/maps")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def mapped_from(folder):
    return [line for line in MAPS.read_text().splitlines() if str(folder) in line]


@pytest.mark.skipif(not MAPS.exists(), reason="asks Linux what is mapped")
def test_what_is_large_is_in_a_file_without_a_name_and_gone_with_the_tensor(folder):
    small, large = scratch((25,), torch.float32), scratch((13, 2), torch.float32)
    assert len(mapped_from(folder)) == 1
    assert list(folder.iterdir()) == []
    for tensor in (small, large):
        tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape))
        assert torch.equal(tensor.flatten(), torch.arange(tensor.numel()).float())
    part = large[3:]
    del large, tensor
    assert part[0].tolist() == [6.0, 7.0]
    del part
    assert mapped_from(folder) == []


def test_bool_and_bytes_have_their_shape(folder):
    for dtype in (torch.bool, torch.uint8, torch.float64):
        assert scratch((5, 3, 20), dtype).shape == (5, 3, 20)
        assert not scratch((5, 3, 20), dtype).any(), "a new file is empty"


def test_a_disk_without_the_space_is_a_sentence_and_no_result(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=rf"No space left on device: 4\.0 GB are wanted in {folder} \(TMPDIR") as refused:
        scratch((10**9,), torch.float32)
    assert failure_of("rank", "key", refused.value)["infrastructure"]
    assert not failure_of("rank", "key", refused.value)["passing"]
