import pytest

from vitbench.errors import UsageError
from vitbench.models import listing
from vitbench.models.families import FAMILIES
from vitbench.models.listing import COLUMNS, models_table, selected


@pytest.mark.slow
def test_models_for_a_probe_are_named_by_word_pattern_and_limit() -> None:
    """Aliases, patterns and words become names, each once; limits leave out what is larger."""
    assert selected(["all"], max_params=5.95) == ["vit", "deit", "deit-distilled"]
    assert selected(["vit", "test_vit*", "vit"])[:2] == ["vit", "test_vit2"]
    heard: list[str] = []
    tiny = selected(["tiny"], max_params=6.0, on_event=heard.append)
    assert "vit_tiny_patch16_224" in tiny
    assert "swin_tiny_patch4_window7_224" not in tiny
    assert heard
    assert all(line.startswith("left out: ") for line in heard)
    assert selected(["test_vit", "swin"], max_gmacs=1.0) == ["test_vit"]
    with pytest.raises(UsageError, match="matches no network"):
        selected(["no_such_*"])
    with pytest.raises(UsageError, match="within"):
        selected(["swin"], max_params=1.0)


def test_the_table_lists_every_family() -> None:
    """Without filters there is a row per family, in the table's order, with every column."""
    rows = models_table()
    assert [row["model"] for row in rows] == [family.alias for family in FAMILIES]
    assert all(tuple(row) == COLUMNS for row in rows)


def test_filters_keep_what_is_small_enough() -> None:
    """Both filters are inclusive upper bounds: 5.911 M parameters keep the three tiny ViTs."""
    small = [row["model"] for row in models_table(max_params=5.911)]
    assert small == ["vit", "deit", "deit-distilled"]
    assert [row["model"] for row in models_table(max_gmacs=1.254)] == ["vit", "deit"]


def test_a_pattern_reaches_timms_names() -> None:
    """A pattern lists timm's models with counted sizes: ResNet-18 has 11.69 M and 1.81 GMACs."""
    rows = {row["timm_name"]: row for row in models_table(pattern="resnet18.a*")}
    assert set(rows) == {"resnet18.a1_in1k", "resnet18.a2_in1k", "resnet18.a3_in1k"}
    row = rows["resnet18.a1_in1k"]
    assert (row["params_m"], row["gmacs"]) == (
        pytest.approx(11.690, abs=0.001),
        pytest.approx(1.814, abs=0.001),
    )
    assert (row["pretrained_on"], row["licence"], row["published_top1"]) == ("IN-1k", "apache-2.0", None)


def test_a_plain_word_matches_anywhere() -> None:
    """ "test_vit" finds every name that holds it."""
    names = [row["timm_name"] for row in models_table(pattern="test_vit", max_params=0.5)]
    assert "test_vit.r160_in1k" in names


def test_a_family_found_by_pattern_keeps_its_alias() -> None:
    """The published figure stands only beside the weights that it was published for."""
    rows = models_table(pattern="vit_tiny_patch16_224*")
    published = {row["timm_name"]: (row["model"], row["published_top1"]) for row in rows}
    assert published["vit_tiny_patch16_224.augreg_in21k_ft_in1k"] == ("vit", 75.45)
    assert published["vit_tiny_patch16_224.augreg_in21k"] == ("vit_tiny_patch16_224.augreg_in21k", None)


def test_what_is_too_large_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network over the bound is counted, not sent a picture."""
    assert listing._counts("resnet18", 5.0) == (pytest.approx(11.69, abs=0.01), None)
