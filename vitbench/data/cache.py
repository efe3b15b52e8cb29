"""Where vitbench keeps what it can make again: deleting it costs time, nothing else."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """$VITBENCH_CACHE, or the user's cache folder of this system."""
    own = os.environ.get("VITBENCH_CACHE")
    return Path(own) if own else _user_cache() / "vitbench"


def _user_cache() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
