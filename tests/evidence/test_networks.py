"""The page of timm's networks: its script still tries them, each in a process of its own."""

import os
import signal
import sys
from pathlib import Path

import families
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="it forks")]


CHOSEN = (
    "byobnet", "cait", "coat", "convnext", "davit", "deit", "efficientnet", "fastvit",
    "gcvit", "hiera", "hrnet", "inception_v3", "levit", "maxxvit", "mobilenetv3", "nest", "pit", "pvt_v2",
    "resnet", "swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr", "tiny_vit", "twins",
    "vision_transformer", "volo", "xcit",
)  # fmt: skip
"""Every kind of stem, window and head; the whole of timm stands on the page."""


@pytest.mark.timeout(1800)
def test_networks_of_every_kind_are_trained_or_refused_in_one_line() -> None:
    """The smallest of 27 modules, RepVGG and MobileOne: no crash, no error that nobody foresaw."""
    rows = families.tried(CHOSEN)
    assert {row.module for row in rows} == set(CHOSEN)
    assert [(row.name, row.line) for row in rows if row.outcome not in ("trained", "steps", "refused")] == []
    assert all(row.line and "\n" not in row.line for row in rows if row.outcome == "refused")


def test_a_crash_is_seen_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that ends its process by a signal is a row that says so; the next one is tried."""
    monkeypatch.setattr(families, "_carry_out", lambda *_: os.kill(os.getpid(), signal.SIGSEGV))
    row = families.attempt("pit", "pit_ti_224", 4.6, tmp_path)
    assert (row.outcome, row.line) == ("crashed", "its process ended by SIGSEGV")


def test_the_page_says_what_was_tried() -> None:
    """Counts in front, a table of what was not trained and one of what was."""
    rows = [
        families.Tried("pit", "pit_ti_224", 4.6, 224, 224, "trained", "", 1.0),
        families.Tried("coat", "coat_tiny", 5.4, outcome="refused", line="it shares parameters"),
    ]
    page = families.page(rows)
    assert "- modules tried: **2** of " in page
    left = next(line for line in page.splitlines() if line.startswith("- not tried yet: beit, "))
    assert " swin_transformer," in left
    assert " pit," not in left
    assert "- crashes: **0**" in page
    assert "| coat | coat_tiny | 5.4 |  |  | refused | it shares parameters |" in page
