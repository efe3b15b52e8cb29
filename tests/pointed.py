"""The hub, somewhere else."""

from pathlib import Path

import pytest
from huggingface_hub import constants


def point_to(address: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process had been started so: the library reads its environment once, at import."""
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", address)
