"""Tensors that are made once and read often: in memory while they are small, else in a file that has no name.

Such a file is mapped, so that what is not read just now need not be in memory, and is gone with the tensor, or with the
process, however that ends. It lies in the folder for temporary files (``TMPDIR``).
"""

from __future__ import annotations

import math
import mmap
import tempfile
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.reservation import reserve

IN_MEMORY_BYTES = 2**28
"""Tensors that take more are in a file."""


def scratch(shape: Sequence[int], dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """Return a tensor to be filled.

    Args:
        shape: its shape.
        dtype: its type.
        device: where it is; only on the CPU it may be in a file.

    Raises:
        OSError: the folder for temporary files lacks the space; the message says how much is wanted, and where.
    """
    n_bytes = math.prod(shape) * dtype.itemsize
    if torch.device(device).type != "cpu" or n_bytes <= IN_MEMORY_BYTES:
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    folder = tempfile.gettempdir()
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            reserve(file.fileno(), n_bytes)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror} in {folder} (TMPDIR says where else)") from error
        mapped = mmap.mmap(file.fileno(), n_bytes)
    return torch.frombuffer(mapped, dtype=dtype).view(tuple(shape))
