from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy import stats

from engine.corruptions.counter import philox, random_words, words_to_normal, words_to_uniform


def _words(*values):
    return tuple(torch.tensor([value]) for value in values)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known answers that the authors of Philox publish with Random123
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    assert tuple(int(word) for word in philox(_words(*counter), key)) == expected


def _philox_by_whole_numbers(counter, key):
    a, b, c, d = counter
    k, m = key
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (q >> 32) ^ b ^ k, q % 2**32, (p >> 32) ^ d ^ m, p % 2**32
        k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
    return a, b, c, d


def test_random_words_are_philox_of_block_and_index():
    key, index = 0xFEDCBA9876543210, 5 + (7 << 32)
    found = random_words(key, torch.tensor([index]), 11).tolist()[0]
    expected = []
    for block in range(3):
        expected += _philox_by_whole_numbers((block, 0, 5, 7), (0x76543210, 0xFEDCBA98))
    assert found == expected[:11]


def test_random_words_depend_on_index_and_element_alone():
    together = random_words(3, torch.tensor([8, 2, 5]), 100)
    assert torch.equal(together[1:2, :7], random_words(3, torch.tensor([2]), 7))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[1], random_words(4, torch.tensor([2]), 100)[0])


def test_uniform_stays_inside_and_is_uniform():
    assert words_to_uniform(torch.tensor([0, 2**32 - 1])).tolist() == [2.0**-33, 1 - 2.0**-33]
    draws = words_to_uniform(random_words(1, torch.arange(50), 4000)).flatten().numpy()
    assert stats.kstest(draws, "uniform").pvalue > 0.001


def test_normal_is_the_inverse_distribution_function():
    words = torch.cat([torch.arange(0, 2**32, 4_194_301), torch.tensor([0, 1, 2**31 - 1, 2**31, 2**32 - 1])])
    exact = np.array([NormalDist().inv_cdf((word % 2**31 + 0.5) / 2**32) for word in words.tolist()])
    exact = np.where(words.numpy() >= 2**31, exact, -exact)
    np.testing.assert_allclose(words_to_normal(words).numpy(), exact, atol=3e-6)


def test_normal_is_normal():
    draws = words_to_normal(random_words(2, torch.arange(50), 4000)).flatten().numpy()
    assert stats.kstest(draws, "norm").pvalue > 0.001


@pytest.mark.gpu
def test_draws_agree_on_cpu_and_cuda():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_cpu = random_words(9, torch.arange(30), 3000)
    on_cuda = random_words(9, torch.arange(30, device="cuda"), 3000)
    assert torch.equal(on_cpu, on_cuda.cpu())
    assert torch.equal(words_to_normal(on_cpu), words_to_normal(on_cuda).cpu())
