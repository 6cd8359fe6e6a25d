from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy import stats

from engine.corruptions.counter import random_words, splitmix64, words_to_normal, words_to_uniform


def _signed(word):
    return word - 2**64 if word >= 2**63 else word


@pytest.mark.parametrize(
    ("seed", "expected"),
    [  # the first outputs of the authors' SplittableRandom, as published with the generator's C versions
        (1234567, (6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431)),
        (0, (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC)),
    ],
)
def test_splitmix64_known_answers(seed, expected):
    found = splitmix64(torch.tensor([seed]), torch.arange(4))
    assert found.tolist() == [_signed(word) for word in expected]


def _splitmix64_by_whole_numbers(seed, place):
    word = (seed + (place + 1) * 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


def test_random_words_are_the_halves_of_a_sequence_seeded_by_key_and_index():
    key, index = 0x7EDCBA9876543210, 5 + (7 << 32)
    found = random_words(key, torch.tensor([index]), 11).tolist()[0]
    seed = _splitmix64_by_whole_numbers(key, index)
    expected = []
    for place in range(6):
        word = _splitmix64_by_whole_numbers(seed, place)
        expected += [word % 2**32, word >> 32]
    assert [word % 2**32 for word in found] == expected[:11]


def test_random_words_depend_on_index_and_element_alone():
    together = random_words(3, torch.tensor([8, 2, 5]), 100)
    assert torch.equal(together[1:2, :7], random_words(3, torch.tensor([2]), 7))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[1], random_words(4, torch.tensor([2]), 100)[0])


def test_words_have_no_bit_in_common():
    # Neighbouring images, keys and elements: each bit is set in half of the places, and agrees in half with the others.
    words = random_words(1, torch.arange(64), 4096)
    bits = torch.stack([words >> place & 1 for place in range(32)]).double()
    n = words.numel()
    assert (bits.mean(dim=(1, 2)) - 0.5).abs().max() < 5 * 0.5 / n**0.5
    for other in (bits.roll(1, 1), bits.roll(1, 2), bits.roll(2, 2), bits.roll(1, 0)):
        assert ((bits == other).double().mean(dim=(1, 2)) - 0.5).abs().max() < 5 * 0.5 / n**0.5
    beside = random_words(2, torch.arange(64), 4096)
    assert abs(np.corrcoef(words.flatten().numpy(), beside.flatten().numpy())[0, 1]) < 5 / n**0.5


def test_uniform_stays_inside_and_is_uniform():
    ends = torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32)
    assert words_to_uniform(ends).tolist() == [2.0**-33, 1 - 2.0**-33]
    draws = words_to_uniform(random_words(1, torch.arange(50), 4000)).flatten().numpy()
    assert stats.kstest(draws, "uniform").pvalue > 0.001


def test_normal_is_the_inverse_distribution_function():
    words = torch.cat([torch.arange(0, 2**31, 2_097_143), torch.tensor([0, 1, 100, 2**31 - 1])])
    exact = np.array([-NormalDist().inv_cdf((word + 0.5) / 2**32) for word in words.tolist()])
    # The table is interpolated, and float32 rounds.
    np.testing.assert_allclose(words_to_normal(words.int()).numpy(), exact, atol=5e-6)
    np.testing.assert_allclose(words_to_normal((words - 2**31).int()).numpy(), -exact, atol=5e-6)


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
