"""The help of a command's options, as tyro is to print it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from typing import Annotated, Any, TypeVar

import tyro

from engine import variables
from engine.errors import InputError

Options = TypeVar("Options")

_NOT_GIVEN = ("\0",)
"""Stands for no words where an option is not there; none can be typed so. An option without its words has ()."""


def with_help(options: type[Options]) -> type[Options]:
    """Return options whose help is one paragraph each, without a default where there is none.

    Left alone, tyro keeps a docstring's line before an indented one as a line of its own, and calls "(default: None)"
    what the text explains.
    """
    assert dataclasses.is_dataclass(options)
    texts: dict[str, str] = {}
    for cls in reversed(options.__mro__[:-1]):
        texts |= _texts(cls)
    hints = typing.get_type_hints(options, include_extras=True)
    described: list[tuple[str, Any, Any]] = []
    for item in dataclasses.fields(options):
        default: Any = item.default
        factory: Any = item.default_factory
        if variables.VARIABLE in item.metadata:
            default, factory = factory(), dataclasses.MISSING
        hint = None if default is None or default == () else _default
        text = variables.with_variable(item, texts.get(item.name, ""))
        config = tyro.conf.arg(help=text, help_behavior_hint=hint or "")
        default = _NOT_GIVEN if default == () else default
        same: Any = dataclasses.field(default=default, default_factory=factory, kw_only=item.kw_only)
        described.append((item.name, Annotated[_with_help(hints[item.name]), config], same))
    frozen = options.__dataclass_params__.frozen  # type: ignore[attr-defined]
    made = dataclasses.make_dataclass(options.__name__, described, bases=(options,), frozen=frozen)
    made.__doc__ = options.__doc__
    return made


def plain(options: type[Options], parsed: Options) -> Options:
    """Return parsed options as the class itself, which other processes know too.

    Raises:
        InputError: an option that takes words, and has a default, is given without one.
    """
    assert dataclasses.is_dataclass(options)
    values = {item.name: getattr(parsed, item.name) for item in dataclasses.fields(options)}
    for item in dataclasses.fields(options):
        if isinstance(item.default, tuple):
            if values[item.name] == ():
                raise InputError(_wordless(options, item.name))
            if values[item.name] == _NOT_GIVEN:
                values[item.name] = item.default
    return options(**values)


def _wordless(options: type, name: str) -> str:
    """Return what is wrong with an option of several words that is given without any."""
    (shown,) = typing.get_type_hints(options, include_extras=True)[name].__metadata__
    flag = shown.name or name.replace("_", "-")
    return f"--{flag} needs a value, {shown.metavar.removesuffix(' ...')}, or several; leave it out for its default"


def _with_help(hint: Any) -> Any:
    """Return a choice of commands with help; another type as it is."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return typing.Union[tuple(map(_with_help, typing.get_args(hint)))]  # noqa: UP007
    if (
        typing.get_origin(hint) is Annotated
        and isinstance(hint.__origin__, type)
        and dataclasses.is_dataclass(hint.__origin__)
    ):
        return Annotated[(with_help(hint.__origin__), *hint.__metadata__)]
    return hint


def _default(value: str) -> str:
    return f"(default: {value})"


def _texts(cls: type) -> dict[str, str]:
    """Return {option: what is written below it in the class}, each on one line."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        item.target.id: " ".join(text.value.value.split())
        for item, text in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
