"""Tests say themselves where everything is: what a shell or a cluster has set for its sweeps is not theirs."""

import os

from engine.variables import NAMES

for name in (*NAMES, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
    os.environ.pop(name, None)
