import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource, torch
from pathlib import Path
from torch import nn
from engine.data import Split
from engine.metrics import error_table

n = 60_000
images = torch.full((n, 3, 32, 32), 7, dtype=torch.uint8)
split = Split(images, torch.zeros(n, dtype=torch.long), torch.arange(n))
model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
names = ("contrast", "pixelate", "gaussian_noise")
error_table(model, split.take(torch.arange(600)), corruptions=names, seed=0)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(1.6 * images.numel()),) * 2)
error_table(model, split, corruptions=names, severities=(1, 2), seed=0)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_evaluating_needs_room_for_one_corrupted_set():
    # Six sets, and memory for 1.6 of them: the second must lie where the first one did.
    root = Path(__file__).parents[3]
    environment = {"OMP_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
