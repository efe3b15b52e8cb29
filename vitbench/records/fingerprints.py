"""What is kept of pictures to know them again, and their near-copies, when they are gone.

49 bytes a picture, in which it cannot be seen: its digest, and the signs of its lowest 16 × 16 frequencies.
Measured (results/evidence/provenance.md): copies that were encoded again, resized, mirrored, turned by
90°, darkened or grayed differ in at most 21 of 256 bits, different photos in 89 or more, different pictures
of clothes of 28 px in 27 or more. Crops beyond 2 % and strong brightening escape.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vitbench import files
from vitbench.errors import VitbenchError
from vitbench.records.buckets import Buckets
from vitbench.records.pictures import Array, Part, Picture

LEARNED_FROM = "learned_from.prints"
"""In a saved model's folder: what it learned from (part "train") and was chosen by ("val")."""
TESTED_ON = "test.prints"
"""In a benchmark's folder: its test pictures."""
MOST_BITS = 24
"""Of 256, by which the fingerprints of near-copies differ."""
SIDE = 16
"""Frequencies each way."""
PARTS: tuple[Part, ...] = ("train", "val", "test")
CONTENT_BYTES = 16
"""Of a file's sha256 that are kept."""
UNSEEN = bytes(SIDE**2 // 8)
"""The fingerprint of a picture in which too little can be seen."""
TURNS = 8
"""Ways to lay a picture on another one."""
FEW = 500
"""Up to so many, all are compared; beyond, whoever shares a word with a picture is looked up."""
ASKED = 1 << 20
"""Pairs of fingerprints, turned each way, that are compared at once."""


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Pictures as digests, each once."""

    contents: Array
    """(N, 16) uint8: the first bytes of the sha256 of their files."""
    prints: Array
    """(N, 32) uint8: `data.duplicates.descriptors.fingerprint`; zeros: too little to be seen in it."""
    parts: Array
    """(N,) uint8: places in `PARTS`."""
    complete: bool = True
    """False where something was learned from that is not known: weights of unknown origin."""

    @classmethod
    def of(cls, pictures: Iterable[tuple[Part, Picture]], complete: bool = True) -> "Fingerprints":
        """Those of pictures with the part that each plays, in the order of their contents."""
        found = {p.sha256: (PARTS.index(part), p.fingerprint) for part, p in pictures}
        rows = sorted(found.items())
        return cls(
            _bytes([bytes.fromhex(sha256)[:CONTENT_BYTES] for sha256, _ in rows], CONTENT_BYTES),
            _bytes([printed or UNSEEN for _, (_, printed) in rows], len(UNSEEN)),
            np.array([part for _, (part, _) in rows], dtype=np.uint8),
            complete,
        )

    def __len__(self) -> int:
        return len(self.parts)

    def joined(self, others: Iterable["Fingerprints"]) -> "Fingerprints":
        """These and others; a picture of several keeps its earliest part (train before val)."""
        every = [self, *others]
        contents = np.concatenate([one.contents for one in every])
        parts = np.concatenate([one.parts for one in every])
        order = np.lexsort((parts, *contents.T[::-1]))
        first = np.ones(len(order), dtype=bool)
        first[1:] = (np.diff(contents[order].astype(np.int16), axis=0) != 0).any(axis=1)
        kept = order[first]
        prints = np.concatenate([one.prints for one in every])
        complete = all(one.complete for one in every)
        return Fingerprints(contents[kept], prints[kept], parts[kept], complete)

    def write(self, path: Path) -> None:
        """Write them, whole or not at all, as safetensors: equal fingerprints give equal bytes."""
        from safetensors.numpy import save

        tensors = {"contents": self.contents, "prints": self.prints, "parts": self.parts}
        files.write_bytes(path, save(tensors, {"complete": "yes" if self.complete else "no"}))

    @classmethod
    def read(cls, path: Path) -> "Fingerprints | None":
        """Those in a file; None where there is none. VitbenchError for one that is damaged."""
        from safetensors import SafetensorError, safe_open

        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as opened:
                contents, prints, parts = map(opened.get_tensor, ("contents", "prints", "parts"))
                complete = (opened.metadata() or {}).get("complete") == "yes"
        except (OSError, SafetensorError) as error:
            raise VitbenchError(
                f"{path}: not readable ({error}); copy it again from where it was made"
            ) from error
        shapes = (len(parts), CONTENT_BYTES), (len(parts), len(UNSEEN))
        if (contents.shape, prints.shape) != shapes or parts.max(initial=0) >= len(PARTS):
            raise VitbenchError(f"{path}: not fingerprints of pictures; copy it again from where it was made")
        return cls(contents, prints, parts, complete)

    @classmethod
    def beside_model(cls, folder: Path) -> "Fingerprints":
        """What the model saved in a folder learned from; `NOT_KNOWN` where the folder does not say."""
        found = cls.read(folder / LEARNED_FROM)
        return NOT_KNOWN if found is None else found

    # --- known again ------------------------------------------------------------------------------

    def find(self, sha256: str, printed: bytes) -> "Found | None":
        """The picture of this content, or else one of nearly this fingerprint; None where neither is here."""
        return self.find_all([(sha256, printed)])[0]

    def find_all(self, asked: Sequence[tuple[str, bytes]]) -> "list[Found | None]":
        """`find` for (sha256, fingerprint) of M pictures; one that is here as train and as val is train."""
        contents = _bytes([bytes.fromhex(sha256)[:CONTENT_BYTES] for sha256, _ in asked], CONTENT_BYTES)
        return self._find(contents, _bytes([printed or UNSEEN for _, printed in asked], len(UNSEEN)))

    def shared_with(self, others: "Fingerprints") -> int:
        """How many of the others' pictures are here, as the very files or as near-copies."""
        return sum(found is not None for found in self._find(others.contents, others.prints))

    def _find(self, contents: Array, prints: Array) -> "list[Found | None]":
        places = [self._places.get(content.tobytes()) for content in contents]
        found = [None if place is None else Found(PARTS[self.parts[place]], near=False) for place in places]
        new = [i for i, printed in enumerate(prints) if found[i] is None and printed.any()]
        if not new or not len(self._near):
            return found
        step = max(1, ASKED // (TURNS * len(self._near)))
        for start in range(0, len(new), step):
            some = new[start : start + step]
            for i, part in zip(some, self._nearest_parts(_turned(prints[some])), strict=True):
                if part < len(PARTS):
                    found[i] = Found(PARTS[part], near=True)
        return found

    def _nearest_parts(self, turned: Array) -> "list[int]":
        """The earliest part of what is near to each of (m, TURNS, 4) fingerprints; more where nothing is."""
        earliest = np.full(len(turned), len(PARTS), dtype=np.uint8)
        asked = turned.reshape(-1, turned.shape[-1])
        if len(self._near) > FEW and self._buckets.work(asked) < len(asked) * len(self._near):
            mine, theirs, _ = self._buckets.within(asked)
            np.minimum.at(earliest, mine // TURNS, self._near_parts[theirs])
        else:
            bits = np.bitwise_count(turned[:, :, None] ^ self._near[None, None])
            near = bits.sum(axis=-1, dtype=np.uint16).min(axis=1) <= MOST_BITS  # (m, N)
            earliest = np.where(near, self._near_parts, earliest[:, None]).min(axis=1)
        return [int(part) for part in earliest]

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {content.tobytes(): place for place, content in enumerate(self.contents)}

    @cached_property
    def _telling(self) -> Array:
        """(N,) bool: where something can be seen."""
        return np.asarray(self.prints.any(axis=1))

    @cached_property
    def _near(self) -> Array:
        """(K, 4) uint64."""
        return np.ascontiguousarray(self.prints[self._telling]).view(np.uint64)

    @cached_property
    def _buckets(self) -> Buckets:
        return Buckets(self._near, MOST_BITS)

    @cached_property
    def _near_parts(self) -> Array:
        return self.parts[self._telling]


@dataclass(frozen=True, slots=True)
class Found:
    """A picture that is known again."""

    part: Part
    near: bool
    """Not the very file but a near-copy of it."""


def _bytes(rows: Sequence[bytes], width: int) -> Array:
    """(N, width) uint8."""
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), width)


def _turned(prints: Array) -> Array:
    """(M, 8, 4) uint64: (M, 32) uint8 fingerprints as they are, mirrored, and turned each way.

    Mirroring a picture turns the sign of its odd frequencies, transposing it transposes them.
    """
    bits = np.unpackbits(prints, axis=1).reshape(-1, SIDE, SIDE)
    odd = (np.arange(SIDE) % 2).astype(np.uint8)
    found = []
    for turn in range(TURNS):
        one = bits.swapaxes(1, 2) if turn & 4 else bits
        one = one ^ odd[:, None] if turn & 2 else one
        one = one ^ odd if turn & 1 else one
        found.append(np.packbits(one.reshape(len(one), -1), axis=1))
    return np.ascontiguousarray(np.stack(found, axis=1)).view(np.uint64)


NOTHING = Fingerprints.of(())
NOT_KNOWN = Fingerprints.of((), complete=False)
