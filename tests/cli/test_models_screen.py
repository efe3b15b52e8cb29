"""`vitbench models` on a narrow terminal: whole names, whole numbers."""

from collections.abc import Callable

import pytest

Call = Callable[..., tuple[int, str]]


def test_aliases_fit_eighty_columns(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line per model with all its figures, then which network of timm's each is; nothing is folded."""
    monkeypatch.setenv("COLUMNS", "80")
    status, text = call("models")
    assert status == 0
    lines = [line.rstrip() for line in text.splitlines()]
    assert [line.split()[0] for line in lines[1:4]] == ["vit", "deit", "deit-distilled"]
    assert lines[1].split()[1:5] == ["5.72", "1.25", "224", "75.45"]
    assert "vit is vit_tiny_patch16_224.augreg_in21k_ft_in1k" in lines
    assert max(map(len, lines)) <= 80


@pytest.mark.slow
def test_what_has_no_room_is_left_out_whole_and_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long names stay whole: columns go, the last first, and a line on stderr says which."""
    monkeypatch.setenv("COLUMNS", "50")
    status, text = call("models", "test_vit*")
    assert status == 0
    head = text.splitlines()[0].split()
    assert head[:2] == ["model", "params"]
    assert "licence" not in head
    assert "test_vit.r160_in1k " in text
    assert "no room for: " in text
    assert "licence; a wider terminal, or --json, has all" in text
