"""What tells a lack of memory from a fault in what was to be read or computed, and gives memory back; without torch."""

import ctypes
import errno
import sys

TOLD = (
    *("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory", "alloc_failed"),
    *("bad_alloc", "unable to allocate", "failed to allocate", "memory allocation failed", "can't start new thread"),
)
"""How torch, codecs and the system say it, in small letters."""


def give_back() -> None:
    """Give what was freed back to the system, where the C library (glibc) keeps it for pieces of the same size."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether `error`, or what it was raised from, says that memory did not suffice, of a device or of the machine.

    What is no error of the system, of a codec or of torch is taken at its word: a ValueError is none.
    """
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if isinstance(error, RuntimeError | OSError) and any(words in str(error).lower() for words in TOLD):
            return True
        error = error.__cause__
    return False
