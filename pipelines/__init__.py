"""What a person runs: thin command lines over the engine."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads that wait leave their cores to who works
