"""`vitbench cost` prints the answer first and leaves a page with every number beside it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest

from vitbench.analysis.multiply_adds import PARTS

pytestmark = pytest.mark.slow
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


def test_the_figures_follow_from_the_csv_by_numpy_alone(call: Call) -> None:
    """GMACs and attention's share from the parts; exponents from two logarithms; where the order turns."""
    sizes = ("--sizes", "960,1024", "--no-times")
    assert call("cost", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", *sizes)[0] == 0
    (place,) = Path("results").glob("cost-*")
    macs, growth, crossings = (
        pandas.read_csv(place / f"{name}.csv") for name in ("macs", "growth", "crossings")
    )
    assert (macs[list(PARTS)].sum(axis=1) == macs["macs"]).all()
    assert macs["attention"].between(0, macs["macs"]).all()
    for row in growth.itertuples():
        mine = macs[macs["model"] == row.model]
        slope = np.diff(np.log(mine[row.quantity])) / np.diff(np.log(mine["tokens"]))
        assert row.exponent == pytest.approx(slope.item())
    vit, swin = (each["macs"].to_numpy() for _, each in macs.groupby("model", sort=False))
    assert vit[0] < swin[0]
    assert vit[1] > swin[1]
    between = 960 * (1024 / 960) ** (np.log(swin / vit)[0] / -np.diff(np.log(swin / vit))).item()
    assert crossings["image_size"].item() == pytest.approx(between, rel=0.01)
