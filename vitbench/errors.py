"""What a user can mend is a `VitbenchError`; everything else is a bug and keeps its traceback."""

import difflib
import pickle
import traceback
from collections.abc import Iterable


class VitbenchError(Exception):
    """One line for the user: what went wrong, where, and what to do next.

    `exit_code` is the process's exit status when nothing catches it: 1 failed, 2 wrong usage.
    """

    exit_code = 1


class UsageError(VitbenchError):
    """The command was asked for something that cannot be meant; nothing was started."""

    exit_code = 2


class UnfitModelError(UsageError):
    """One model cannot be run as it was asked; where there are others, they go on."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to stop, and what was under way is saved.

    `signal` is its number; `saved` says up to where, in words, or "" where nothing was being trained. Like
    Ctrl-C itself it is no error: a program that goes on after a `VitbenchError` ends here.
    """

    def __init__(self, signal: int, saved: str = "") -> None:
        super().__init__(saved)
        self.signal, self.saved = signal, saved


class StoppedError(VitbenchError):
    """The user pressed Ctrl-C, or the system asked the process to end; 128 + the signal's number."""

    def __init__(self, text: str, signal: int = 2) -> None:
        super().__init__(text)
        self.exit_code = 128 + signal


class UnreadableImageError(VitbenchError):
    """One picture could not be decoded; carries the reason only, the caller names the file."""


class ClassesError(VitbenchError):
    """The class folders cannot be trained or divided; without labels the pictures may still be of use."""


class WeightsError(VitbenchError):
    """Weights that were asked for are not to be had, or do not fit."""


class RunFailedError(VitbenchError):
    """One model's run failed for good (out of memory, NaN loss); the other models go on."""


class CrowdedError(VitbenchError):
    """Memory ran out for a run beside others; with fewer at a time there may be enough."""


class DeviceLostError(VitbenchError):
    """The device can do nothing more for this process; another process may find it whole."""


class KilledError(VitbenchError):
    """The process that carried something out was ended from outside.

    `memory_ended`: the kernel has ended some process for want of memory meanwhile.
    """

    def __init__(self, cause: str, way_out: str, *, memory_ended: bool = False) -> None:
        super().__init__(f"its process {cause}; {way_out}")
        self.cause, self.way_out, self.memory_ended = cause, way_out, memory_ended


class RefusedError(VitbenchError):
    """A run cannot be gone on with here and now; nothing of it was touched."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "; did you mean light?", or "" where nothing that is known is near."""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.strip().lower(), names, n=1)
    return f"; did you mean {names[near[0]]}?" if near else ""


def first_line(error: BaseException) -> str:
    """What an error says in one line of at most 200 characters; its type's name where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[1] if len(lines) > 1 and lines[0].endswith(":") else (lines or [type(error).__name__])[0]
    return text[:200].rstrip(".")


def packed(error: Exception, where: str) -> bytes:
    """An error as it travels to another process, with what it says about itself."""
    error.add_note(f"{where}:\n" + "".join(traceback.format_exception(error)))
    try:
        content = pickle.dumps(error)
        pickle.loads(content)
    except (TypeError, AttributeError, pickle.PicklingError):
        content = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return content
