"""Addresses without their credentials, for everything that is printed, logged or kept."""

from __future__ import annotations

import re

_IN_ADDRESS = re.compile(r"""://(?:[^\s/"']*|[^\s@"']*)@""")
_IN_QUERY = re.compile(r"""(?i)\b([\w-]*(?:password|passwd|pwd|token|secret|access_key)[\w-]*)=[^\s&;,"']+""")


def hide_credentials(text: str) -> str:
    """Return a text in which every ``//user:password@`` is ``//***@`` and every ``password=…`` is ``password=***``."""
    return _IN_QUERY.sub(r"\1=***", _IN_ADDRESS.sub("://***@", text))
