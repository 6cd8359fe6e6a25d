import hashlib
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from engine.seeds import derive_seed, generator, global_draws


def test_derive_seed_golden():
    by_hand = int.from_bytes(hashlib.sha256(b"7\x1fpretrain\x1forder\x1f3").digest()[:8], "big") >> 1
    assert derive_seed(7, "pretrain", "order", 3) == by_hand


def test_derive_seed_tells_purposes_apart():
    seeds = {
        derive_seed(0),
        derive_seed(1),
        derive_seed(0, "a"),
        derive_seed(0, "a", "b"),
        derive_seed(0, "b", "a"),
        derive_seed(0, "ab"),
        derive_seed(0, "a", 1),
        derive_seed(0, "a", 2),
        derive_seed(2**63 - 1),
    }
    assert len(seeds) == 9
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_and_draws_are_the_same_in_another_process():
    script = (
        "from engine.seeds import derive_seed, generator; import torch;"
        "print(derive_seed(5, 'x', 2), torch.rand(3, generator=generator(5, 'x', 2)).tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    draws = torch.rand(3, generator=generator(5, "x", 2)).tolist()
    assert printed.strip() == f"{derive_seed(5, 'x', 2)} {draws}"


def test_generator_leaves_the_global_one_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    torch.rand(5, generator=generator(0, "something"))
    assert torch.equal(torch.rand(2), expected)


def test_global_draws_are_those_of_the_seed_and_leave_all_as_it_was():
    def drawn(seed: int, *purpose: object) -> list[float]:
        with global_draws(seed, *purpose):
            return [float(torch.rand(())), float(np.random.rand()), random.random()]  # noqa: NPY002

    torch.manual_seed(3), np.random.seed(3), random.seed(3)  # noqa: NPY002
    expected = [float(torch.rand(())), float(np.random.rand()), random.random()]  # noqa: NPY002
    torch.manual_seed(3), np.random.seed(3), random.seed(3)  # noqa: NPY002
    first, again, other, purpose = drawn(1, "a"), drawn(1, "a"), drawn(2, "a"), drawn(1, "b")
    assert first == again
    assert not set(first) & {*other, *purpose}
    assert [float(torch.rand(())), float(np.random.rand()), random.random()] == expected  # noqa: NPY002


def test_global_draws_end_with_an_error():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)

    def fail() -> None:
        with global_draws(0):
            torch.rand(5)
            raise RuntimeError("an error")

    with pytest.raises(RuntimeError, match="an error"):
        fail()
    assert torch.equal(torch.rand(2), expected)
