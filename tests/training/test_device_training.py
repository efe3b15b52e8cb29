"""A training whose views a device makes is the one whose views Pillow makes; the device is a CPU here."""

from collections.abc import Callable

import pytest
from painted import StopAt

from vitbench.data import device_views
from vitbench.data.resample import resample
from vitbench.records import Benchmark
from vitbench.records.watch import Watch

Train = Callable[..., Benchmark]


class Heard(Watch):
    """What the user is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def outcome(benchmark: Benchmark) -> tuple[bytes, list[object], bytes]:
    """The weights, what every epoch said but for its speed, and the answers."""
    [run] = benchmark.runs
    rows = [(row.train_loss, row.val_loss, row.val_top1) for row in run.epochs()]
    weights = (run.model_folder / "model.safetensors").read_bytes()
    return weights, list(rows), (run.folder / "predictions.csv").read_bytes()


@pytest.fixture
def by_pillow(trained: Train) -> Benchmark:
    """A training as a CPU does it."""
    return trained(name="pillow", augment="geometry")


@pytest.mark.slow
def test_the_same_weights(trained: Train, by_pillow: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last byte, with a store and without; the run's file says who made the views."""
    assert by_pillow.runs[0].environment()["views"] == "CPU"
    monkeypatch.setattr(device_views, "DEVICES", {"cpu"})
    for store in (True, False):
        by_device = trained(name=f"device-{store}", augment="geometry", store=store)
        environment = by_device.runs[0].environment()
        assert environment["views"].startswith("device, equal to Pillow ")
        assert environment["techniques"]["device_views"] is True
        assert outcome(by_device) == outcome(by_pillow)


@pytest.mark.slow
def test_interrupted_and_gone_on_with(
    trained: Train, by_pillow: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside an epoch: the steps that are left see what they would have seen, and the same bytes come."""
    monkeypatch.setattr(device_views, "DEVICES", {"cpu"})
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(2, 2), name="device", augment="geometry")
    assert outcome(trained(name="device", resume=True)) == outcome(by_pillow)


@pytest.mark.slow
def test_views_that_differ_are_not_used(
    trained: Train, by_pillow: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line tells the user, the run's file says why, and the training is the CPU's."""
    heard = Heard()
    monkeypatch.setattr(device_views, "DEVICES", {"cpu"})
    monkeypatch.setattr(device_views, "ways", lambda device: [("torch", lambda *one: resample(*one) ^ 1)])
    found = trained(heard, name="device", augment="geometry")
    [line] = [line for line in heard.lines if "views are made" in line]
    assert line.startswith("test_vit-s0: views are made on the CPU, for cpu cannot make them: not by torch: ")
    assert found.runs[0].environment()["views"].startswith("CPU, not by torch: ")
    assert outcome(found) == outcome(by_pillow)


def test_device_views_are_left_out_by_name(trained: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every technique."""
    monkeypatch.setattr(device_views, "DEVICES", {"cpu"})
    found = trained(augment="geometry", without=("device_views",)).runs[0].environment()
    assert found["views"] == "CPU, as asked for by --without device_views"
    assert found["techniques"]["device_views"] is False
