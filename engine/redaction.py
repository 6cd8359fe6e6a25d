"""Addresses without their credentials, for everything that is printed, logged or kept."""

from __future__ import annotations

import re
from typing import Any

_IN_ADDRESS = re.compile(r"""://(?!/)(?:[^\s/"']*|[^\s@"']*)@""")
_IN_MALFORMED = re.compile(r"""(?<![:/])(:/|//)[^\s/@:"']+:[^\s/@"']+@""")
"""An address that lost a slash or its colon: a path made of s3://key:secret@bucket is s3:/key:secret@bucket."""
_SECRET = "password|passwd|pwd|passphrase|token|secret|credential|signature|api_?key|access_?key|private_?key"
_IN_QUERY = re.compile(rf"""(?i)\b((?:[\w-]*(?:{_SECRET})[\w-]*|auth|sig|odbc_connect)[ ]*(?:=|%3d)[ ]*)[^\s&;,"']+""")


def hide_credentials(text: str) -> str:
    """Return a text in which every ``//user:password@`` is ``//***@`` and every ``password=…`` is ``password=***``."""
    text = _IN_MALFORMED.sub(r"\1***@", _IN_ADDRESS.sub("://***@", text))
    return _IN_QUERY.sub(r"\1***", text)


def hide_in(value: Any) -> Any:
    """Return a JSON value with the credentials hidden in all its texts."""
    if isinstance(value, str):
        return hide_credentials(value)
    if isinstance(value, dict):
        return {name: hide_in(item) for name, item in value.items()}
    return [hide_in(item) for item in value] if isinstance(value, list | tuple) else value
