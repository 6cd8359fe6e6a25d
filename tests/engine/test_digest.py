import hashlib
import math

import pytest

from engine.digest import canonical_json, digest


def test_canonical_json_is_sorted_dense_and_prints_equal_numbers_alike():
    assert canonical_json({"b": [1.0, 2.5, (True, None)], "a": "×"}) == '{"a":"×","b":[1,2.5,[true,null]]}'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        ({"a": 2, "b": [1.5, None]}, "04015cd536d9b737ef77d7dc2e0bdeb2927eac791f187410e18787b853ce3e58"),
    ],
)
def test_digest_golden(value, expected):
    assert digest(value) == expected


def test_digest_is_the_sha_256_of_the_text():
    assert digest({"a": [1, "×"]}) == hashlib.sha256('{"a":[1,"×"]}'.encode()).hexdigest()


def test_digest_of_equal_values_is_equal():
    assert digest({"a": 1, "b": {"c": 2.0, "d": (1, 2)}}) == digest({"b": {"d": [1, 2], "c": 2}, "a": 1})
    assert digest(-0.0) == digest(0)


def test_digest_tells_values_apart():
    values = [0, 1, 1.5, "1", True, None, [], {}, [1, 2], [2, 1], {"a": 1}, {"a": None}]
    assert len({digest(value) for value in values}) == len(values)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [math.nan]}])
def test_digest_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(value)


def test_digest_refuses_what_is_not_json():
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        digest({"a": {1, 2}})
