"""The process that downloads: `python -m vitbench.models.hub_download`, driven by `hub.py`.

Standard input: one JSON object, {"timeout_seconds", "wanted": [{key, repo, revision, filename,
required, damaged}…]}. Standard output: a JSON line per event, start {key, repo, bytes}, done {key, path} or
failed {key, reason}. Every file is asked for before the first is downloaded.
"""

import json
import sys
from typing import Any

CHUNK_BYTES = 65536
"""Written to the disk at a time: the parent sees progress by the file's size, so slower than this in
its time limit counts as standing still (4 KB/s at 15 s)."""


def main() -> None:
    """Answer for every wanted file; stop before downloading if a required one cannot be had."""
    task = json.load(sys.stdin)
    sizes: dict[str, int | None] = {}
    for item in task["wanted"]:
        size, reason = _ask(item, min(10.0, task["timeout_seconds"]))
        if reason:
            _tell("failed", key=item["key"], reason=reason)
            if item["required"]:
                return
        else:
            sizes[item["key"]] = size
    for item in task["wanted"]:
        if item["key"] in sizes:
            _tell("start", key=item["key"], repo=item["repo"], bytes=sizes[item["key"]])
            _get(item)


def _ask(item: dict[str, Any], timeout_seconds: float) -> tuple[int | None, str]:
    """Size of the file on the hub, or why it is not to be had; one attempt."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(item["repo"], item["filename"], revision=item["revision"])
    try:
        return get_hf_file_metadata(url, timeout=timeout_seconds).size, ""
    except Exception as error:  # noqa: BLE001  whatever the HTTP library raises is the answer
        return None, _reason(error)


def _get(item: dict[str, Any]) -> None:
    from huggingface_hub import constants, hf_hub_download

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    try:
        path = hf_hub_download(
            item["repo"],
            item["filename"],
            revision=item["revision"],
            library_name="timm",
            force_download=item["damaged"],
        )
        _tell("done", key=item["key"], path=str(path))
    except Exception as error:  # noqa: BLE001  as above
        _tell("failed", key=item["key"], reason=_reason(error))


def _reason(error: BaseException) -> str:
    """One line for the user, the address of the hub included."""
    from huggingface_hub import constants

    status = getattr(getattr(error, "response", None), "status_code", None)
    host = constants.ENDPOINT.partition("://")[2]
    if status in (401, 403, 404):
        return f"{host} does not have the file (HTTP {status})"
    if status is not None:
        return f"{host} answered HTTP {status}"
    lines = str(error).strip().splitlines()
    return f"{host}: {(lines[0] if lines else type(error).__name__)[:150]}"


def _tell(event: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
