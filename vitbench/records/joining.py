"""What hangs together, directly or through others."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T", bound=Any)


def joined(together: Iterable[Sequence[T]]) -> dict[T, T]:
    """Of each member the least one of the whole that it belongs to.

    The members of a sequence belong together, and so do sequences that share one, directly or through others.
    """
    above: dict[T, T] = {}

    def top(member: T) -> T:
        while above.setdefault(member, member) != member:
            above[member] = member = above[above[member]]
        return member

    for members in together:
        for member in members:
            least, other = sorted((top(members[0]), top(member)))
            above[other] = least  # so the least comes to lie on top
    return {member: top(member) for member in list(above)}
