"""`make bench` still runs with the functions of today, and its page says what was recorded."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from pages import kept_rows
from painted import paint
from torch._subclasses.fake_tensor import FakeTensorMode


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """tests/evidence/performance.py as a module."""
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "cache"))
    import performance

    return performance


def go(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, record: Path, *words: str) -> list[dict[str, Any]]:
    """The records that a command leaves."""
    tiny = ["--model", "test_vit", "--image-size", "32", "--batch", "8", "--loader-workers", "0"]
    monkeypatch.setattr(sys, "argv", ["performance.py", *words, *tiny, "--record", str(record)])
    bench.main()
    return kept_rows(record)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # timm's dataset leaves them open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_four_arms_train_the_same_views(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, coloured: Path, tmp_path: Path
) -> None:
    """Two rounds: every arm sees the epoch's pictures, and the page shows the median of its rates."""
    record = tmp_path / "speed.jsonl"
    words = ("speed", str(coloured), "--only-rounds", "--rounds", "2", "--steps", "2")
    (found,) = go(bench, monkeypatch, record, *words)
    seen = {arm: [pictures for pictures, _ in rounds] for arm, rounds in found["rounds"].items()}
    views = 3 * 8  # three classes; more originals than ⌈2 × 8 / 3⌉ views, so each of 24 is shown once
    assert seen == {arm: [views, views] for arm in ("limit", "vitbench", "slides", "timm")}
    assert str(tmp_path) not in found["command"]
    page = record.with_suffix(".md").read_text(encoding="utf-8")
    for rounds in found["rounds"].values():
        rate = sum(pictures / seconds for pictures, seconds in rounds) / 2
        assert f"| {f'{rate:,.0f}' if rate >= 100 else f'{rate:.3g}'} (" in page
    assert "No GPU was measured" in page


def test_a_card_is_measured_with_batches_that_fill_it(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of 8 is launch time there: besides, three models at 32, 128 and 256; a CPU's stay."""
    from vitbench.inference import devices

    monkeypatch.setattr(devices, "choose_device", torch.device)
    assert bench.rows_for("cpu") == bench.ALL
    more = [row.split() for row in bench.rows_for("cuda")[len(bench.ALL) :]]
    assert {row[row.index("--batch") + 1] for row in more} == {"32", "128", "256"}
    assert len(more) == 9


@pytest.mark.parametrize(("device", "side"), [("cpu", 2048), ("cuda", 8192)])
def test_the_peak_is_of_a_product_that_fills_the_device(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, device: str, side: int
) -> None:
    """Ten products of noise, on a card of 8192², in the precision of the training (fake tensors, no card)."""
    import performance_speed

    seen: list[torch.Tensor] = []

    def product(one: torch.Tensor) -> float:
        seen.append(one)
        return 0.5 / len(seen)  # the tenth is the best

    monkeypatch.setattr(performance_speed, "_product_seconds", product)
    with FakeTensorMode():
        assert performance_speed.peak_flops(torch.device(device), "bf16") == 2 * side**3 / 0.05
    assert {(one.device.type, one.dtype, one.shape) for one in seen} == {
        (device, torch.bfloat16, (side, side))
    }
    performance_speed.peak_flops(torch.device("cpu"), "fp32", 64)
    assert seen[-1].std() > 0.9


def test_parts_of_a_step_are_all_of_it(bench: ModuleType, coloured: Path) -> None:
    """The clock is read at every door of the step: nothing takes no time, and afterwards nothing listens."""
    import performance_arms
    import performance_speed
    from performance_whole import scanned

    from vitbench.training import step

    before = step.seed_step
    case = performance_arms.Case(scanned(coloured), "test_vit", 32, 8, 6)
    seconds = performance_speed.parts(case)
    assert list(seconds) == list(performance_speed.PARTS)
    assert min(seconds.values()) > 0
    assert step.seed_step is before


@pytest.mark.slow
def test_views_are_counted_of_threads_and_of_processes(bench: ModuleType, coloured: Path) -> None:
    """Each supplies some; the page names who."""
    import performance_arms
    import performance_page
    import performance_speed
    from performance_whole import scanned

    case = performance_arms.Case(scanned(coloured), "test_vit", 32, 8, 6)
    found = performance_speed.supply(case.split, case)
    who = list(found)
    assert who[0] == "1 thread"
    assert who[-1].rstrip("es").endswith("proc")
    assert min(found.values()) > 0
    records = kept_rows(bench.RECORDS)
    speed = [record for record in records if record["kind"] == "speed"]
    assert "Who makes the views" not in "".join(performance_page._speed(speed))
    assert "1 thread: 12" in "".join(performance_page._speed([{**speed[0], "supply": {"1 thread": 12.3}}]))


@pytest.mark.slow
def test_profile_finds_the_step(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, coloured: Path, tmp_path: Path
) -> None:
    """The second epoch of `fit` is looked at, and the step is in it."""
    (found,) = go(bench, monkeypatch, tmp_path / "p.jsonl", "profile", str(coloured), "--steps", "20")
    shares = {(where, item): share for where, item, share in found["shares"]}
    assert 0 < shares["main", "step"] <= 1


def test_ratios_by_hand(bench: ModuleType) -> None:
    """Ratios are taken round by round, then the median; five epochs are the first and four rounds."""
    import performance_speed as speed

    record = {
        "rounds": {
            "limit": [[100, 1.0], [100, 2.0], [100, 1.0], [100, 1.0]],
            "vitbench": [[90, 1.0], [100, 2.0], [80, 1.0], [100, 1.0]],
        },
        "first": {"vitbench": [90, 5.0]},
    }
    assert speed.ratios(record, "vitbench", "limit") == pytest.approx([0.9, 1.0, 0.8, 1.0])
    assert speed.five_epochs(record, "vitbench") == pytest.approx(10 / 460)
    assert speed.five_epochs({**record, "rounds": {"vitbench": [[1, 1]]}}, "vitbench") is None


def test_extrapolation_by_hand(bench: ModuleType) -> None:
    """First epoch's surplus once, later training by views, val and checkpoint per epoch, the rest once."""
    import performance_whole

    found = {"rest": 7.0, "epochs": {"vit": [[14.0, 15.0], [4.0, 5.0], [4.0, 5.0]]}}
    assert performance_whole.extrapolated(found, 10, 20, 30) == pytest.approx(7 + 10 + 30 * (8 + 1))


def test_growth_by_hand(bench: ModuleType) -> None:
    """3 + 2n² goes through three counts exactly; what does not rise, or is not evenly apart, says nothing."""
    import performance_page as page

    found = page.extrapolated([1, 10, 100], [5.0, 203.0, 20003.0], 1000)
    assert found == pytest.approx((2.0, 2_000_003.0))
    assert page.extrapolated([1, 10, 100], [5.0, 5.0, 6.0], 1000) is None
    assert page.extrapolated([1, 20, 100], [1.0, 2.0, 3.0], 1000) is None


def test_equal_photos_make_equal_mosaics(bench: ModuleType, tmp_path: Path) -> None:
    """Five classes of JPEGs, the same bytes each time."""
    import performance_photos

    for number in range(5):
        paint(tmp_path / "photos" / f"{number}.jpg", (40 * number, 90, 120), number, (260, 250))
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        assert performance_photos.mosaics(folder, tmp_path / "photos", 1, (500, 250)) == 5
    one, two = ([path.read_bytes() for path in sorted(folder.rglob("*.jpg"))] for folder in folders)
    assert one == two
    assert len(set(one)) == 5


def test_small_files_are_searched_for_copies(bench: ModuleType, tmp_path: Path) -> None:
    """The painted files have detail enough that the measured check really looks for near-copies."""
    import performance_photos

    from vitbench.data.decode import decode
    from vitbench.data.duplicates.descriptors import Descriptors, descriptor_of

    performance_photos.small_files(tmp_path, 20)
    descriptors = [descriptor_of(decode(path)) for path in sorted(tmp_path.rglob("*.jpg"))]
    assert Descriptors.of(descriptors, 20).detail.min() > 0


@pytest.mark.slow
def test_techniques_are_compared_with_the_step_as_it_is(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, coloured: Path, tmp_path: Path
) -> None:
    """Each way does all rounds, what needs another device says so, and afterwards nothing is changed."""
    import performance_techniques as measured
    import timm.layers
    import torch

    wanted = {name: way for name, way in measured.WAYS.items() if name != "torch.compile"}  # minutes
    monkeypatch.setattr(measured, "WAYS", wanted)
    record = tmp_path / "techniques.jsonl"
    (found,) = go(bench, monkeypatch, record, "techniques", str(coloured), "--rounds", "2", "--steps", "1")
    assert found["impossible"] == {"torch.compile with CUDA graphs": "needs a CUDA device"}
    assert set(found["rounds"]) == set(wanted) - {"fp32", *found["impossible"]}
    assert all(len(rounds) == 2 for rounds in found["rounds"].values())
    assert timm.layers.use_fused_attn()
    assert torch.get_float32_matmul_precision() == "highest"
    assert "| test_vit, 32 px, batch 8 | cpu | bf16 |" in record.with_suffix(".md").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_start_is_measured_against_the_imports(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One round of three commands, none of them free."""
    record = tmp_path / "start.jsonl"
    (found,) = go(bench, monkeypatch, record, "start", "--rounds", "1")
    assert {name: len(rounds) for name, rounds in found["rounds"].items()} == {
        "help": 1, "predict": 1, "imports": 1,
    }  # fmt: skip
    assert found["rounds"]["help"] < found["rounds"]["imports"]
