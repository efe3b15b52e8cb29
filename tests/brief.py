"""What takes most of a tiny training and few tests look at, left out."""

import contextlib
import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from vitbench.analysis import measuring
from vitbench.benchmark import estimate
from vitbench.inference import forward
from vitbench.reports import drawing
from vitbench.training import machine, probe

SAVE = drawing._save
TIME_MODEL = estimate._time_model
BLANK = {"svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>', "png": b""}
NOT_COLLECTED = SimpleNamespace(collect=lambda: 0)
"""Python collects by itself what a run's model leaves; between runs of a second that is soon enough."""


@contextlib.contextmanager
def briefly() -> Iterator[None]:
    """Blank drawings, made-up times of a plan, speeds from few passes, no memory freed, no disk waited for.

    The fixtures `drawn` and `timed` put the first two back.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_save", lambda of, kind: BLANK[kind])
        patch.setattr(estimate, "_time_model", lambda *given: estimate._Timing(300_000, 64, *3 * [0.001]))
        patch.setattr(probe, "SPEED_SECONDS", 0.0)  # one pass tells it
        patch.setattr(forward, "LATENCY_PASSES", 5)
        patch.setattr(measuring, "MOST", 2)
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(machine, "gc", NOT_COLLECTED)
        yield
