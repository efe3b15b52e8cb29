"""Views whose pixels say something about the process that renders them; workers import this file."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitbench.data.made import LostPictureError


@dataclass(frozen=True)
class Odd:
    """3 bytes a pixel, 2 × 2 px: picture, k, and what `say` asks for."""

    say: str = ""
    size: int = 2

    def view(self, turn: int, index: int, k: int, store: Any) -> Any:
        """What a view is depends on `say`, but never on who makes it where a training could meet it."""
        here = "vitbench.data.worker" in sys.modules and "pytest" not in sys.modules  # in a worker
        third = turn
        if self.say == "modules":
            third = sum(name in sys.modules for name in ("torch", "torchvision", "timm", "__mp_main__"))
        elif self.say == "pid":
            third = os.getpid() % 251
        elif self.say == "die" and here and index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.say == "memory" and here and index == 2:
            raise MemoryError("no more")
        elif self.say == "lost" and index == 2:
            raise LostPictureError("red/00.png: changed since the data were read; put it back and --resume")
        elif self.say == "late" and turn == 2:
            raise LostPictureError("red/00.png: cannot be read any more")
        elif self.say == "slow":
            time.sleep(0.2)
        return np.full((self.size, self.size, 3), (index, k, third), dtype=np.uint8)


@dataclass(frozen=True)
class Every:
    """Several views, of which a picture's number says which: 100 is the first picture of the second."""

    each: tuple[Any, ...]

    @property
    def size(self) -> int:
        """Of all of them."""
        return int(self.each[0].size)

    def view(self, turn: int, index: int, k: int, store: Any) -> Any:
        """As of the one."""
        return self.each[index // 100].view(turn, index % 100, k, store)


class Unwilling(Odd):
    """Cannot be sent to another process."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise ImportError("no module of that name here")
