"""The settings of a convolution, checked before torch meets them: its own errors come late, or name no value."""

from __future__ import annotations

from engine.errors import InputError

Pair = int | tuple[int, int]


def check_geometry(
    in_channels: int,
    out_channels: int,
    groups: int,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair | str,
    dilation: Pair,
) -> None:
    """Raise ``InputError`` unless these make a two-dimensional convolution (arguments as of ``nn.Conv2d``)."""
    for name, count in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
        if not _is_whole(count) or count < 1:
            raise InputError(f"`{name}` must be a whole number ≥ 1, got {count!r}")
        if name != "groups" and _is_whole(groups) and groups >= 1 and count % groups:
            raise InputError(f"`{name}` must be divisible by `groups`, got {count} and {groups}")
    _check_pair("kernel_size", kernel_size, 1)
    strides = _check_pair("stride", stride, 1)
    _check_pair("dilation", dilation, 1)
    if not isinstance(padding, str):
        _check_pair("padding", padding, 0)
    elif padding not in ("same", "valid"):
        raise InputError(f"`padding` must be 'same', 'valid', a whole number ≥ 0 or two, got {padding!r}")
    elif padding == "same" and strides != (1, 1):
        raise InputError(f"`padding` = 'same' needs `stride` = 1, got {stride!r}; give the padding as a number")


def _check_pair(name: str, value: Pair, minimum: int) -> tuple[int, int]:
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or not all(_is_whole(side) and side >= minimum for side in pair):
        raise InputError(f"`{name}` must be a whole number ≥ {minimum} or two, got {value!r}")
    return pair[0], pair[1]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
