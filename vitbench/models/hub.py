"""Pretrained files from the Hugging Face hub: the cache first, then one bounded attempt.

The library retries for most of a minute without a network, and a server that sends nothing can hold
it much longer. So the download runs in a process of its own (`hub_download.py`), which is stopped when
nothing has moved for a while; what moves is never cut. `HF_ENDPOINT`, `HF_HOME` and `HF_HUB_OFFLINE`
hold as everywhere.
"""

import contextlib
import functools
import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitbench import files
from vitbench.errors import WeightsError
from vitbench.models.tensors import check_safetensors

NOT_TRIED = "another model's weights are missing"
"""The reason of a model that nothing was fetched for, because one that is required failed."""
REPORT_SECONDS = 10.0
CONNECT_SECONDS = 3.0
"""How often a running download is reported."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """Where timm would look for a model's weights."""

    repo: str
    revision: str | None
    filename: str


def fetch(
    models: Mapping[str, str],
    required: set[str],
    timeout_seconds: float,
    on_event: Callable[[str], None],
) -> dict[str, Path | str]:
    """Per key a whole, checked file on this machine, or the reason why there is none.

    `models` maps keys (aliases) to timm names. When one of the `required` keys cannot be had, nothing
    is downloaded for the others either.
    """
    got: dict[str, Path | str] = {}
    sources: dict[str, Source] = {}
    for key, timm_name in models.items():
        source = source_of(timm_name)
        cached = _cached(source) if isinstance(source, Source) else None
        if isinstance(source, str):
            got[key] = source
        elif cached is not None:
            got[key] = cached
        else:
            sources[key] = source
    if sources and not any(isinstance(got.get(key), str) for key in required):
        got.update(_download(sources, required, timeout_seconds, on_event))
    return {key: got.get(key, NOT_TRIED) for key in models}


def lacking(timm_name: str) -> str:
    """Why pretrained weights are not to be had here, as far as is seen without asking for them; "" if so."""
    from huggingface_hub import constants

    source = source_of(timm_name)
    if isinstance(source, str):
        return source
    if _cached(source) is not None:
        return ""
    if constants.HF_HUB_OFFLINE:
        return "no whole file in the cache, and HF_HUB_OFFLINE forbids the network"
    return _unreachable(constants.ENDPOINT)


@functools.cache
def _unreachable(address: str) -> str:
    """Why no connection can be made; "" if one can, or where a proxy would make it."""
    parts = urllib.parse.urlsplit(address)
    if urllib.request.getproxies():
        return ""
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        socket.create_connection((str(parts.hostname), port), CONNECT_SECONDS).close()
    except OSError as error:
        return f"{parts.hostname}: {error}"
    return ""


def source_of(timm_name: str) -> Source | str:
    """The safetensors file that timm loads for this name, or why there is none."""
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(timm_name)
    if config is None or not config.has_weights:
        return f"timm publishes none for {timm_name}"
    if not config.hf_hub_id:
        return f"those of {timm_name} are published as a pickle only"
    repo, _, revision = config.hf_hub_id.partition("@")
    filename = config.hf_hub_filename or "model.safetensors"
    return Source(repo, revision or None, re.sub(r"\.bin$", ".safetensors", filename))


def cached(timm_name: str) -> Path | None:
    """The file of a model's pretrained weights in the hub's cache, if it is there and whole."""
    source = source_of(timm_name)
    return _cached(source) if isinstance(source, Source) else None


def tagged_name(timm_name: str) -> str:
    """The timm name with the tag of its weights, the default one where none is given."""
    from timm.models import get_pretrained_cfg

    base = timm_name.partition(".")[0]
    config = get_pretrained_cfg(timm_name)
    return f"{base}.{config.tag}" if config is not None and config.tag else base


def about(timm_name: str) -> dict[str, str]:
    """Name, source address and licence of a model's weights, for the file beside them."""
    from huggingface_hub import constants
    from timm.models import get_pretrained_cfg

    source = source_of(timm_name)
    address = f"{constants.ENDPOINT}/{source.repo}" if isinstance(source, Source) else source
    return {
        "timm_name": timm_name,
        "source": address,
        "licence": str(get_pretrained_cfg(timm_name).license or "not stated"),
    }


def _cached(source: Source) -> Path | None:
    """The file in the hub's cache, if it is there and whole."""
    path = _in_cache(source)
    return path if path is not None and _fault(path) is None else None


def _in_cache(source: Source) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repo, source.filename, revision=source.revision)
    return Path(found) if isinstance(found, str) else None


def _fault(path: Path) -> str | None:
    """What is wrong with a file of the cache; its blob is named by sha256, so that can be checked."""
    try:
        check_safetensors(path)
    except WeightsError as error:
        return str(error)
    blob = path.resolve().name
    if _SHA256.fullmatch(blob) and files.sha256_of(path) != blob:
        return f"{path}: its bytes are not those that were published (sha256 differs)"
    return None


def _download(
    sources: Mapping[str, Source], required: set[str], timeout_seconds: float, on_event: Callable[[str], None]
) -> dict[str, Path | str]:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return dict.fromkeys(sources, "no whole file in the cache, and HF_HUB_OFFLINE forbids the network")
    got: dict[str, Path | str] = {}
    wanted = [
        {
            "key": key,
            "repo": source.repo,
            "revision": source.revision,
            "filename": source.filename,
            "required": key in required,
            "damaged": _in_cache(source) is not None,  # there, and not what was published
        }
        for key, source in sources.items()
    ]
    with _child(wanted, timeout_seconds) as (process, lines):
        progress = _Progress(Path(constants.HF_HUB_CACHE), on_event)
        stopped = _follow(process, lines, progress, got, timeout_seconds)
    return {key: _checked(got.get(key, stopped or NOT_TRIED)) for key in sources}


@contextlib.contextmanager
def _child(wanted: list[dict[str, Any]], timeout_seconds: float) -> Any:
    """The downloading process and the queue of its lines (None at their end); stopped on the way out."""
    environment = {
        **os.environ,
        "HF_HUB_DISABLE_XET": "1",  # plain HTTP: its progress can be seen, and it resumes
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "vitbench.models.hub_download"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
        encoding="utf-8",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read_lines, args=(process.stdout, lines), daemon=True)
    try:
        with process.stdin as stdin:
            stdin.write(json.dumps({"timeout_seconds": timeout_seconds, "wanted": wanted}))
        reader.start()
        yield process, lines
    finally:
        process.kill()
        process.wait()
        if reader.ident is not None:
            reader.join()
        process.stdout.close()


def _read_lines(stream: Any, lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


class _Progress:
    """How many bytes of the file under way are on the disk, and what the user hears of it."""

    def __init__(self, cache: Path, on_event: Callable[[str], None]) -> None:
        self._cache = cache
        self._on_event = on_event
        self._folder: Path | None = None
        self._name = ""
        self._total = 0
        self._most = 0
        self._reported = 0.0

    def start(self, event: Mapping[str, Any]) -> None:
        self._name, self._total, self._most = event["key"], int(event["bytes"] or 0), 0
        self._folder = self._cache / ("models--" + event["repo"].replace("/", "--")) / "blobs"
        self._reported = time.monotonic()
        self._on_event(f"{self._name}: downloading {self._total / 1e6:.0f} MB")

    def moved(self) -> bool:
        """True if there are more bytes than ever before: a download that starts over does not move."""
        if self._folder is None:
            return False
        size = 0
        for path in self._folder.glob("*.incomplete"):
            with contextlib.suppress(OSError):
                size += path.stat().st_size
        if size <= self._most:
            return False
        self._most = size
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self._reported = time.monotonic()
            self._on_event(f"{self._name}: {size / 1e6:.0f} of {self._total / 1e6:.0f} MB")
        return True


def _follow(
    process: "subprocess.Popen[str]",
    lines: "queue.Queue[str | None]",
    progress: _Progress,
    got: dict[str, Path | str],
    timeout_seconds: float,
) -> str:
    """Collect outcomes until the process ends or stands still; the reason it was stopped, or ""."""
    last = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            if progress.moved():
                last = time.monotonic()
            elif time.monotonic() - last > timeout_seconds:
                return f"nothing came from the hub for {timeout_seconds:g} s"
            continue
        if line is None:
            code = process.wait()
            return f"the download ended early (exit status {code})" if code else ""
        last = time.monotonic()
        event = json.loads(line)
        if event["event"] == "start":
            progress.start(event)
        elif event["event"] == "done":
            got[event["key"]] = Path(event["path"])
        else:
            got[event["key"]] = str(event["reason"])


def _checked(outcome: Path | str) -> Path | str:
    """A downloaded file that is not what was published leaves the cache again."""
    if isinstance(outcome, str):
        return outcome
    fault = _fault(outcome)
    if fault is None:
        return outcome
    blob = outcome.resolve()
    outcome.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
    return f"the download was damaged ({fault})"
