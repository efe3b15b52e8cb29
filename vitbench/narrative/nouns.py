"""What a narrative is made of, beside plain text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Note:
    """One thing to know; no full stop at the end of either text."""

    text: str = ""
    """As it stands among all notes; "" where another sentence of the narrative says it."""
    brief: str = ""
    """As it stands on the first screen; "" for what cannot change the answer."""


@dataclass(frozen=True)
class Step:
    """One thing that would help next."""

    text: str
    """Led by its numbers; no full stop at the end."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of `train`, as `records.commands` takes them, where a training would do it."""
    aim: str = ""
    """What these are good for, in a few words that begin with a verb."""
