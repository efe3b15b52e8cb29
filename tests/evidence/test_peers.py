"""Peers: the folders that all get, and a page that says first what vitbench does worse."""

from pathlib import Path
from typing import Any

import peers
import peers_page
import pytest
from pages import kept_rows
from painted import paint_folder

ASKED = [f"test/{label}/{place}.jpg" for label in ("a", "b") for place in range(10)]


def row(peer: str, case: str = "whole", wrong: int = 0, **more: Any) -> dict[str, Any]:
    """A call that answers all of 20 test pictures, the first so many wrongly."""
    answers = {path: Path(path).parts[1] if place >= wrong else "c" for place, path in enumerate(ASKED)}
    about = {"epochs": 3, "status": 0, "wall": 9.0, "cpu": 8.0, "memory_mb": 900, "own": None}
    found = {"said": [], "last": "", "changed": [], "asked": ASKED, "answers": answers}
    return {"peer": peer, "case": case, **about, **found, **more}


def test_a_tool_that_is_clearly_better_is_named_first() -> None:
    """Ten discordant pictures of twenty, all the other's: exact McNemar p = 2 / 2**10."""
    rows = [row("vitbench", wrong=10), row("fastai", memory_mb=700)]
    (pair,) = peers_page.beside(rows)
    assert pair.value == pytest.approx(0.5)
    assert pair.p == pair.adjusted == pytest.approx(2 / 2**10)
    page = peers_page.page(rows)
    first = page.index("fastai names more pictures right: +50 points")
    assert first < page.index("takes more memory (900 MB): fastai 700 MB") < page.index("## Against vitbench")


def test_two_points_that_prove_nothing_are_said_so() -> None:
    """One picture of twenty is ahead, and no proof; a tool from random weights meets vitbench from such."""
    rows = [row("vitbench", wrong=1), row("fastai"), row("Ultralytics, random weights", wrong=9)]
    said = peers_page.worse(rows, peers_page.beside(rows))
    assert said[0] == "fastai names 5 points more right, which 20 pictures do not prove (adjusted p = 1.00)."
    assert len(peers_page.beside(rows)) == 1
    rows.append(row("vitbench, random weights", wrong=9))
    assert [one.name for one in peers_page.beside(rows)] == ["fastai", "Ultralytics, random weights"]


def test_what_a_faulty_folder_did_is_told() -> None:
    """Stopped with its last line, or went on: whom it answered, what it rewrote, and classes mixed up."""
    bad = row("fastai", "faulty", wrong=5, own=1.0, changed=["train/a/1.jpg"])
    page = peers_page.page(
        [row("vitbench"), bad, row("vitbench", "truncated", status=2, answers={}, last="no")]
    )
    assert (
        "goes on, answers 20 of 20; says: nothing; own 100.0 %, true 75.0 %; rewrites train/a/1.jpg" in page
    )
    assert "stops: `no`" in page


def test_every_tool_gets_the_same_folder_and_faults_are_what_they_say(tmp_path: Path) -> None:
    """Two layings are byte-equal; copies are of training pictures; what is cut off has half its bytes."""
    paint_folder(tmp_path / "photos", 40)
    for name in ("one", "two", "faulty", "cut"):
        peers.lay(tmp_path / "photos", tmp_path / name)
    whole = peers.digests(tmp_path / "one")
    assert whole == peers.digests(tmp_path / "two")
    classes = len(list((tmp_path / "photos").iterdir()))
    assert len(whole) == 40 * classes
    peers.faulty(tmp_path / "faulty")
    faulty = peers.digests(tmp_path / "faulty")
    copies = {one for path, one in faulty.items() if path.endswith("again.jpg")}
    assert len(copies) == classes - 1
    assert copies <= {one for path, one in faulty.items() if path.startswith("train/")}
    assert len(list((tmp_path / "faulty" / "test").iterdir())) == classes - 1
    peers.truncated(tmp_path / "cut")
    cut = peers.digests(tmp_path / "cut")
    assert sorted(path.split("/")[0] for path in whole if whole[path] != cut[path]) == ["test", "train"]


def test_lines_of_a_script_are_those_of_its_use() -> None:
    """The stored rows' tools have scripts, and no docstring counts."""
    assert peers_page.lines_of("peers_fastai.py") == 11
    assert {peer.script for peer in peers.PEERS} <= set(peers_page.SCRIPTS.values())


def test_the_stored_page_is_what_its_rows_say() -> None:
    """peers.md is generated from peers.jsonl."""
    if not peers.RECORD.exists():
        pytest.skip("nothing measured yet")
    rows = kept_rows(peers.RECORD)
    stored = peers_page.PAGE.read_text(encoding="utf-8")
    assert peers_page.page(rows).splitlines()[:-1] == stored.splitlines()[:-1]
