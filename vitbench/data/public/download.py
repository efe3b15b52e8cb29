"""Files over HTTP: gone on with where they were cut, and known to be whole by their sums."""

import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vitbench.errors import VitbenchError, first_line
from vitbench.files import naming, printable, sync_folder

Checksum = Literal["md5", "sha256", "git"]
"""How a file's sum is made; "git": the sha1 of a blob, which stands for small files on the hub."""
CHUNK_BYTES = 1 << 18
SILENT_SECONDS = 30.0
"""A server that sends nothing for so long is given up."""
PART = ".part"
"""Behind the name of a file that is not whole yet."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on a server."""

    address: str
    name: str
    kind: Checksum
    checksum: str
    size: int | None = None
    """Bytes, where the server's owner says so."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent to the address, to no other that it leads to."""

    @property
    def host(self) -> str:
        return urllib.parse.urlsplit(self.address).netloc


class CutError(VitbenchError):
    """The connection was lost; what has come is kept."""


def download(remote: Remote, folder: Path, on_bytes: Callable[[int, int], None]) -> Path:
    """The whole file in `folder`, checked by its sum; what is there is not downloaded again.

    `on_bytes(done, total)`, 0 for a total that nobody knows. A lost connection is taken up again as long as
    bytes come. VitbenchError where the server cannot be reached or says no, where nothing comes any more
    (then what has come stays, and the next call goes on there), and where the file is not what was published
    (then it is removed).
    """
    whole, part = folder / remote.name, folder / f"{remote.name}{PART}"
    if whole.exists():
        if _is_it(remote, whole):
            return whole
        whole.unlink()
    reached = -1
    while not _complete(remote, part):
        before = _size(part)
        try:
            _go_on(remote, part, on_bytes)
            break
        except CutError as error:
            if _size(part) <= max(before, reached):
                raise CutError(f"{error}{_kept(remote, part)}") from error
            reached = _size(part)
    if not _is_it(remote, part):
        part.unlink(missing_ok=True)
        raise VitbenchError(
            f"{remote.address}: not the file that was published ({remote.kind} differs); it was removed, "
            "run it again"
        )
    os.replace(part, whole)
    sync_folder(folder)
    return whole


def _go_on(remote: Remote, part: Path, on_bytes: Callable[[int, int], None]) -> None:
    """Bring what is missing, or all of it where the server begins anew."""
    start = _size(part)
    opened = _opened(remote, start)
    if opened is None:  # there is nothing behind what has come
        return
    with opened as answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            start = 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else remote.size or 0
        with naming(part), part.open("ab" if start else "wb") as stream:
            done = start
            while chunk := _read(remote, answer):
                stream.write(chunk)
                stream.flush()  # a process that is killed leaves what has come
                done += len(chunk)
                on_bytes(done, total)
            os.fsync(stream.fileno())
    if total and done < total:
        raise CutError(f"{remote.host}: the connection was lost")


def _opened(remote: Remote, start: int) -> Any:
    """The server's answer, from the byte `start` on where it can; None where it has no more than that."""
    asked = urllib.request.Request(remote.address, headers={"User-Agent": "vitbench"})
    for name, value in remote.headers.items():
        asked.add_unredirected_header(name, value)
    if start:
        asked.add_header("Range", f"bytes={start}-")
    try:
        return urllib.request.urlopen(asked, timeout=SILENT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise VitbenchError(
            f"{remote.address}: HTTP {error.code} ({error.reason}); try again later"
        ) from error
    except urllib.error.URLError as error:
        raise CutError(f"{remote.host}: cannot be reached ({_reason(error)})") from error
    except (OSError, http.client.HTTPException) as error:
        raise CutError(f"{remote.host}: cannot be reached ({first_line(error)})") from error


def _read(remote: Remote, answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise CutError(f"{remote.host}: the connection was lost ({first_line(error)})") from error


def _reason(error: urllib.error.URLError) -> str:
    return first_line(error.reason) if isinstance(error.reason, BaseException) else str(error.reason)


def _kept(remote: Remote, part: Path) -> str:
    have = _size(part) / 1e6
    of = f" of {remote.size / 1e6:.0f}" if remote.size else ""
    kept = f"; {have:.1f}{of} MB of {printable(remote.name)} are kept" if have else ""
    return f"{kept}; run it again when there is a network, it goes on"


def _complete(remote: Remote, part: Path) -> bool:
    """All bytes have come, as far as their number is known."""
    return remote.size is not None and _size(part) >= remote.size


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_it(remote: Remote, path: Path) -> bool:
    if not path.exists():
        return False
    made = hashlib.new("sha1" if remote.kind == "git" else remote.kind, usedforsecurity=False)
    if remote.kind == "git":
        made.update(f"blob {_size(path)}\0".encode())
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            made.update(chunk)
    return made.hexdigest() == remote.checksum
