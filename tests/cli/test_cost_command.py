"""`vitbench cost` prints the answer first and leaves a page with every number beside it."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas

from vitbench.analysis.multiply_adds import PARTS

Call = Callable[..., tuple[int, str]]


def test_the_command_leaves_a_page_and_every_number(call: Call) -> None:
    """The csv adds up without vitbench; a second call keeps the first; json holds the same."""
    status, text = call("cost", "test_vit", "test_efficientnet", "--sizes", "32,64", "--memory", "1")
    assert status == 0
    table = [
        line for line in text.splitlines() if line.startswith(("model ", "test_vit ", "test_efficientnet "))
    ]
    assert len(table) == 5
    assert max(map(len, table)) <= 80
    (place,) = Path("results").glob("cost-*")
    table = pandas.read_csv(place / "macs.csv")
    assert (table[list(PARTS)].sum(axis=1) == table["macs"]).all()
    measured = pandas.read_csv(place / "measured.csv")
    assert (measured["images_per_second"] * measured["forward_ms"]).round(6).eq(1000).all()
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "vitbench cost test_vit test_efficientnet --sizes 32,64" in page
    status, text = call("cost", "test_vit", "--sizes", "32,33", "--no-times", "--json")
    assert status == 3
    again = json.JSONDecoder().raw_decode(text)[0]
    assert again["folder"] != str(place)
    assert [row["image_size"] for row in again["macs"]] == [32]
