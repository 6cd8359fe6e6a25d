"""How torch, CUDA, its libraries and the machine say that memory is lacking."""

from __future__ import annotations

import errno
import re

_NO_MEMORY = re.compile(
    r"out of memory|ALLOC_FAILED|ALLOCATION_FAILED|STATUS_NOT_INITIALIZED|can't allocate memory|not enough memory",
    re.IGNORECASE,
)
"""How torch, CUDA, cuBLAS, cuDNN and the CPU's allocator say that memory is lacking, not all of them by a kind of error
of their own: cuBLAS and cuDNN cannot even be initialised then."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or what it was raised from, says that memory is lacking: the GPU's or the machine's."""
    import torch

    one: BaseException | None = error
    while one is not None:
        if isinstance(one, torch.OutOfMemoryError | MemoryError):
            return True
        if isinstance(one, OSError) and one.errno == errno.ENOMEM:
            return True
        if type(one) in (RuntimeError, torch.AcceleratorError) and _NO_MEMORY.search(str(one)):
            return True
        one = one.__cause__
    return False
