"""A run's `log.txt`."""

import time
from pathlib import Path

from vitbench import files
from vitbench.records import Epoch
from vitbench.training.distributed.processes import current


class Log:
    """`log.txt`: a line per event with its time, appended; of several processes the first one's."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def line(self, text: str) -> None:
        if not current().first:
            return
        with files.naming(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def epoch(self, row: Epoch, prepared: str, saved: str = "") -> None:
        """An epoch that is done, `saved` or not; `prepared` as of `Prefetcher.in_words`."""
        judged = (
            "" if row.val_top1 is None else f": val top-1 {row.val_top1:.4f}, val loss {row.val_loss:.4f}"
        )
        self.line(f"epoch {row.epoch}{saved}{judged}; {prepared}")
