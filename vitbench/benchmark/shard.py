"""A share of a benchmark's runs, for job arrays: several processes fill one benchmark."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from vitbench.errors import UsageError

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Shard:
    """Every `count`-th run in the benchmark's order, from the `number`-th on; both count from 1."""

    number: int
    count: int

    @classmethod
    def of(cls, text: str) -> "Shard":
        """The shard in "2/8"; UsageError for what is none."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        number, count = (int(part) for part in found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(f"--shard {text}: needs K/N with K from 1 to N, such as 2/8")
        return cls(number, count)

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This shard's part of something that is in the order of the benchmark's runs."""
        return list(items[self.number - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
