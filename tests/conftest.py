"""Small folders of pictures, and benchmarks on them by timm's own test networks, without a network."""

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `vitbench` does, before torch is loaded
# Every step is shown and every epoch saved, which a training of a second would not live to see.
os.environ["VITBENCH_LOOK_SECONDS"] = os.environ["VITBENCH_SAVE_SECONDS"] = "0"
os.environ.pop("COLUMNS", None)  # what is printed is as wide as in a pipe; pytest-xdist sets 80
if "PYTEST_XDIST_WORKER" in os.environ:  # one core each, also for the processes that tests start
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["VITBENCH_CACHE"] = tempfile.mkdtemp(prefix="vitbench-tests-")
import forked
from brief import SAVE, TIME_MODEL, briefly
from leaving import leaving_nobody
from painted import TINY, paint_folder

from vitbench.benchmark import estimate
from vitbench.benchmark.train import train
from vitbench.records import Benchmark, Settings
from vitbench.records.watch import Watch
from vitbench.reports import drawing

SHARED = Path(__file__).parents[2] / "shared" / "datasets"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--gpu`: tests may use the machine's GPU."""
    parser.addoption("--gpu", action="store_true", help="use this machine's GPU: device auto, tests/gpu")


def pytest_configure(config: pytest.Config) -> None:
    """Without `--gpu` no test finds a GPU, nor does a process that one starts: they compare a CPU's bytes."""
    if not config.getoption("--gpu"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A fault test that misses its deadline leaves no process to those after it."""
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("faults"):
            item.fixturenames.append("nobody_left")


def pytest_collection_finish() -> None:
    """What was imported and collected stays, so no garbage collection need look through it.

    A run collects what its model left, several times: a third of a second each, with torch loaded. Nor need
    processes import it that are forked from here.
    """
    gc.collect()
    gc.freeze()
    if hasattr(os, "fork"):
        forked.begin()


def pytest_unconfigure() -> None:
    """The tests' own feature store goes with them."""
    shutil.rmtree(os.environ["VITBENCH_CACHE"], ignore_errors=True)


@pytest.fixture
def nobody_left() -> Iterator[None]:
    """However the test ends, what it started ends with it."""
    with leaving_nobody():
        yield


@pytest.fixture(scope="session", autouse=True)
def brief() -> Iterator[None]:
    """Every training of a test is a short one (`briefly`)."""
    with briefly():
        yield


@pytest.fixture(scope="module")
def drawn() -> Iterator[None]:
    """Drawings as a user gets them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_save", SAVE)
        yield


@pytest.fixture(scope="module")
def timed() -> Iterator[None]:
    """A plan's times are measured, as a user's are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate, "_time_model", TIME_MODEL)
        yield


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """A folder of 3 × 12 pictures."""
    return paint_folder(tmp_path / "coloured")


@pytest.fixture
def trained(tmp_path: Path, coloured: Path) -> Callable[..., Benchmark]:
    """`trained(name="a", epochs=3)` trains on `coloured` and returns the benchmark."""

    def go(
        watch: Watch | None = None, *, name: str | None = "tiny", resume: bool = False, **settings: Any
    ) -> Benchmark:
        usual = TINY
        if settings.get("recipe") == "probe":  # which has nothing to do with epochs and batches
            usual = {key: value for key, value in TINY.items() if key in Settings.known_to("probe")}
        asked = settings if resume else {**usual, **settings}
        data = None if resume else coloured
        return train(data, name=name, results=tmp_path / "results", resume=resume, watch=watch, **asked)

    return go


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A finished benchmark of two tiny models with Korean and emoji class names; do not change it."""
    root = tmp_path_factory.mktemp("session")
    data = paint_folder(root / "사진", names={"red": "빨강 🔴", "green": "=green", "blue": "blue"})
    asked = {**TINY, "models": ("test_vit", "test_efficientnet"), "epochs": 3}
    return train(data, name="two", results=root / "results", **asked)


@pytest.fixture
def photos() -> Callable[[str], Path]:
    """`photos("flowers5")` is a folder of real photos; the test skips where there is none."""

    def find(name: str) -> Path:
        folder = SHARED / name
        if not folder.is_dir():
            pytest.skip(f"real photos not here: {name} (see the checkout's ../shared/datasets)")
        return folder

    return find


@pytest.fixture
def no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training writes no curves and no page: they take seconds, and few tests look at them."""
    monkeypatch.setattr("vitbench.benchmark.train.write_reports", lambda *given: None)
