"""What an error is to the user: one sentence."""

import dis
import errno
import os
from pathlib import Path

from cyclopts import CycloptsError
from pydantic import ValidationError

import napari_pix2pix
from napari_pix2pix.core.engine.atomic import FULL_DISK, is_full
from napari_pix2pix.core.engine.foreign_text import shown
from napari_pix2pix.core.engine.memory import is_out_of_memory
from napari_pix2pix.core.settings.config import in_one_sentence

FULL_MEMORY = (
    "Memory must suffice for the work; it does not ({}). Lower the patch or batch size, or free some of it, "
    "and try again; what was saved is kept."
)

LONGEST = 2000
"""Characters of a sentence."""


def sentence_of(error: Exception) -> str:
    """The error in one sentence, without a traceback."""
    if isinstance(error.__cause__, ValidationError):
        return in_one_sentence(error.__cause__)
    if is_full(error):
        return FULL_DISK
    text = " ".join(str(error).split())
    if _is_circle(error):
        return f"A link must lead to a file or folder; one leads in a circle ({shown(text, kept='')[:200]}). Mend it."
    if len(text) > LONGEST:  # a stranger's name or value
        text = f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
    if is_out_of_memory(error):
        ours = isinstance(error, MemoryError) and text.endswith(".")
        return text if ours else FULL_MEMORY.format(text.partition(". ")[0] or type(error).__name__)
    if isinstance(error, OSError) and error.strerror:
        name = shown(str(error.filename or ""), kept="")
        if error.errno == errno.ENAMETOOLONG:
            longest = max((len(os.fsencode(part)) for part in Path(str(error.filename or "")).parts), default=0)
            return f"A name must have at most 255 bytes, a path 4095; {name[:60]}… has one of {longest}. Shorten it."
        reason = f"{error.strerror[0].lower()}{error.strerror[1:]}"
        return f"{name}: {reason}. Check the path." if name else f"The system says: {reason}."
    ours = isinstance(error, ValueError | OSError | CycloptsError) or _is_told(error)
    return text if ours else f"{type(error).__name__}: {text}"


def is_wrong_path(error: Exception) -> bool:
    """Whether a path that was given cannot be one."""
    return (isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP)) or _is_circle(error)


def _is_circle(error: Exception) -> bool:
    """Whether links lead in a circle, as Python before 3.13 tells it."""
    return isinstance(error, RuntimeError) and str(error).startswith("Symlink loop")


def _is_told(error: Exception) -> bool:
    """Whether this package's own code says it with `raise`: a sentence already, not what a library says."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return True  # never raised: made by our own code
    code = trace.tb_frame.f_code
    ours = Path(napari_pix2pix.__file__).parent in Path(code.co_filename).parents
    return ours and dis.opname[code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"
