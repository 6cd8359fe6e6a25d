"""MPS, with a stand-in for NVIDIA's program that writes down what it was told."""

import os
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.orchestration.cluster.mps import check_mps, described, mps
from engine.orchestration.cluster.slots import SlotPlan

QUARTER = SlotPlan(4, 1, 0.25)


@pytest.fixture
def program(tmp_path: Path, monkeypatch) -> Path:
    """The stand-in; it fails once there is a file "fails"."""
    made = tmp_path / "nvidia-cuda-mps-control"
    made.write_text(
        "#!/bin/sh\n"
        f'if [ -e {tmp_path}/fails ]; then echo "no such device" >&2; exit 1; fi\n'
        f"exec >> {tmp_path}/told\n"
        'if [ "$1" = -d ]; then echo "start $CUDA_MPS_PIPE_DIRECTORY"; else cat; fi\n'
    )
    made.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return made


def test_it_is_started_in_folders_of_its_own_and_ended_with_the_sweep(program: Path, monkeypatch) -> None:
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    check_mps(QUARTER, is_private=True)
    with mps():
        pipes = os.environ["CUDA_MPS_PIPE_DIRECTORY"]
        assert Path(pipes).is_dir(), "whoever is started now finds it"
    assert (program.parent / "told").read_text() == f"start {pipes}\nquit\n"
    assert not Path(pipes).exists()
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ


def test_where_it_cannot_be_started_its_own_words_are_told(program: Path) -> None:
    (program.parent / "fails").touch()
    with pytest.raises(InputError, match=r"MPS cannot be started .*: no such device"), mps():
        pass


def test_it_is_refused_where_it_cannot_be_or_would_change_nothing(monkeypatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"slots that share a GPU, .* got 1 each"):
        check_mps(SlotPlan(2, 1, 1.0), is_private=True)
    with pytest.raises(InputError, match="machines of a cluster start it as"):
        check_mps(QUARTER, is_private=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="which is not on this machine's PATH"):
        check_mps(QUARTER, is_private=True)


def test_how_slots_share_a_gpu_is_said() -> None:
    assert "through MPS, each at most 25% of its memory" in described(QUARTER, by_mps=True)
    assert "by turns, each at most 25% of its memory" in described(QUARTER, by_mps=False)
    assert described(SlotPlan(2, 1, 1.0), by_mps=False) == described(SlotPlan(2, 1, 0.0), by_mps=False) == ""
