"""What an error is to the user: one sentence."""

from cyclopts import CycloptsError
from pydantic import ValidationError

from napari_pix2pix.core.engine.atomic import FULL_DISK, is_full
from napari_pix2pix.core.engine.memory import is_out_of_memory
from napari_pix2pix.core.settings.config import in_one_sentence

FULL_MEMORY = (
    "Memory must suffice for the work; it does not ({}). Lower the patch or batch size, or free some of it, "
    "and try again; what was saved is kept."
)


def sentence_of(error: Exception) -> str:
    """The error in one sentence, without a traceback."""
    if isinstance(error.__cause__, ValidationError):
        return in_one_sentence(error.__cause__)
    if is_full(error):
        return FULL_DISK
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        ours = isinstance(error, MemoryError) and text.endswith(".")
        return text if ours else FULL_MEMORY.format(text.partition(". ")[0] or type(error).__name__)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return text if isinstance(error, ValueError | OSError | CycloptsError) else f"{type(error).__name__}: {text}"
