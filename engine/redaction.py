"""Addresses without their credentials, for everything that is printed, logged or kept."""

from __future__ import annotations

import re
from typing import Any

_IN_ADDRESS = re.compile(r"""://(?!/)(?:[^\s/"']*|[^\s@"']*)@""")
_IN_MALFORMED = re.compile(r"""(?<![:/])(:/|//)[^\s/@:"']+:[^\s/@"']+@""")
"""An address that lost a slash or its colon: a path made of s3://key:secret@bucket is s3:/key:secret@bucket."""
_WORDS = (
    *("password", "passwd", "pwd", "passphrase", "token", "secret", "credential", "signature"),
    *("apikey", "api_key", "accesskey", "access_key", "privatekey", "private_key"),
)
"""Parts of the names of secrets."""
_IN_QUERY = re.compile(
    rf"""(?i)\b((?:[\w-]*(?:{"|".join(_WORDS)})[\w-]*|auth|sig|odbc_connect)[ ]*(?:=|%3d)[ ]*)[^\s&;,"']+"""
)
_SHORT = re.compile(r"\b(?:auth|sig|odbc_connect) *(?:=|%3d)")


def hide_credentials(text: str) -> str:
    """Return a text in which every ``//user:password@`` is ``//***@`` and every ``password=…`` is ``password=***``."""
    text = _IN_MALFORMED.sub(r"\1***@", _IN_ADDRESS.sub("://***@", text))
    return _IN_QUERY.sub(r"\1***", text) if _may_have_secrets(text) else text


def _may_have_secrets(text: str) -> bool:
    """Return whether a name of a secret is in a text: of a long one, to look for each takes a twentieth of the time."""
    folded = text.casefold()
    return any(word in folded for word in _WORDS) or _SHORT.search(folded) is not None


def hide_in(value: Any) -> Any:
    """Return a JSON value with the credentials hidden in all its texts."""
    if isinstance(value, str):
        return hide_credentials(value)
    if isinstance(value, dict):
        return {name: hide_in(item) for name, item in value.items()}
    return [hide_in(item) for item in value] if isinstance(value, list | tuple) else value
