"""What travels between machines: whole or refused; a work finds its files where they lie there."""

import dataclasses
import pickle
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from painted import TINY

from vitbench.benchmark import afar
from vitbench.benchmark.engines import Where
from vitbench.benchmark.grid import RunWork
from vitbench.benchmark.moving import at_absolute_places, moved, needs_of, parcel_of
from vitbench.benchmark.parcels import DamagedError, Parcel, pack, unpack
from vitbench.benchmark.plan import make_plan
from vitbench.benchmark.tasks import SCRATCH, TOKEN, Target, Task
from vitbench.errors import UsageError
from vitbench.locks import locked
from vitbench.records import Benchmark, Settings
from vitbench.records.watch import Watch


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with a model of two files."""
    folder = tmp_path / "here" / "vit-s0"
    (folder / "model").mkdir(parents=True)
    (folder / "metrics.json").write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "model" / "größe.json").write_text("ä")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_comes_as_it_was_without_what_only_passes(run: Path, tmp_path: Path) -> None:
    """In place of what was there; locks and half-written files stay behind."""
    before = contents(run)
    (run / ".metrics.json.x.tmp").touch()
    with locked(run):
        parcel = pickle.loads(pickle.dumps(pack(run)))
    there = tmp_path / "there" / "vit-s0"
    there.mkdir(parents=True)
    (there / "old").touch()
    unpack(parcel, there)
    assert contents(there) == before
    assert [path.name for path in there.parent.iterdir()] == ["vit-s0"]


def flipped(parcel: Parcel) -> Parcel:
    content = bytearray(parcel.content)
    content[content.index(bytes(range(256))) + 5] ^= 1
    return dataclasses.replace(parcel, content=bytes(content))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flipped, "model/model.safetensors does not have the sha256"),
        (lambda parcel: dataclasses.replace(parcel, content=parcel.content[:900]), "missing|sha256|archive"),
        (lambda parcel: dataclasses.replace(parcel, content=b""), "archive"),
        (lambda parcel: dataclasses.replace(parcel, digests={**parcel.digests, "a": ""}), "a is missing"),
        (lambda parcel: dataclasses.replace(parcel, digests={}), "does not have the sha256"),
    ],
)
def test_what_is_not_what_was_packed_is_refused(run: Path, tmp_path: Path, damage: Any, said: str) -> None:
    """One bit, an end, a file: nothing of it comes to lie there, what was there stays."""
    there = tmp_path / "there"
    there.mkdir()
    (there / "old").touch()
    with pytest.raises(DamagedError, match=said):
        unpack(damage(pack(run)), there)
    assert contents(there) == {"old": b""}
    assert not list(tmp_path.glob(".there*"))


def test_nothing_comes_to_lie_outside(run: Path, tmp_path: Path) -> None:
    """A path that climbs out of the folder is refused, its digest right or not."""
    parcel = pack(run / "model", ["../metrics.json"])
    with pytest.raises(DamagedError, match="no path inside a folder"):
        unpack(parcel, tmp_path / "a" / "there")
    assert not (tmp_path / "a" / "metrics.json").exists()


@pytest.fixture
def task(coloured: Path, tmp_path: Path) -> tuple[RunWork, Task]:
    """A run that was asked for on this machine."""
    plan = make_plan(Settings.of(TINY), coloured, Watch())
    folder = tmp_path / "results" / "b"
    folder.mkdir(parents=True)
    (folder / TOKEN).write_text("a token")
    work = at_absolute_places(RunWork(plan.jobs[0], Benchmark(folder), plan.split))
    target = Target(folder, "b-1", "test_vit-s0", token="a token")
    return work, Task(pickle.dumps(work), work.name, 0, 1, needs_of(work), target, "s", {}, ("vitbench",))


def test_a_machine_with_the_same_folders_needs_nothing(task: tuple[RunWork, Task]) -> None:
    """The run is written where it belongs."""
    work, asked = task
    assert [need.kind for need in asked.needs] == ["pictures"]
    here = afar.placed(asked, {})
    assert here == afar.Here({}, work.run.folder)


def test_a_machine_without_them_asks_and_works_in_its_own(
    task: tuple[RunWork, Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures are sent once; a run that has come further here is taken over."""
    work, asked = task
    monkeypatch.setenv(SCRATCH, str(tmp_path / "scratch"))
    pictures = work.split.root
    elsewhere = dataclasses.replace(asked.needs[0], place=tmp_path / "nowhere")
    asked = dataclasses.replace(asked, needs=(elsewhere,))
    assert afar.placed(asked, {}) == ["pictures"]
    parcel = parcel_of(dataclasses.replace(elsewhere, place=pictures), work)
    here = afar.placed(asked, {"pictures": lambda: parcel})
    assert isinstance(here, afar.Here)
    assert here.away
    assert here.run == afar.scratch() / "b-1" / "test_vit-s0"
    there = moved(work, here.moves)
    assert there.split.root == here.moves["pictures"]
    assert there.run.folder == here.run
    assert contents(there.split.root) == contents(pictures)
    assert afar.placed(asked, {}) == here  # for the next run it is there
    checkpoint = work.run.folder / "checkpoint" / "epoch-0002.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    further = dataclasses.replace(asked, progress=afar.progress(work.run.folder))
    assert afar.placed(further, {}) == ["state"]
    afar.placed(further, {"state": lambda: pack(work.run.folder)})
    assert contents(here.run) == {"checkpoint/epoch-0002.json": b""}
    (here.run / "checkpoint" / "epoch-0003-step-000001.json").touch()
    assert afar.placed(further, {}) == here


def test_what_cannot_be_meant_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is loaded; without Ray with the way to it."""
    with pytest.raises(UsageError, match="--address auto: says which Ray; add --engine ray"):
        Where(address="auto").refuse(1)
    with pytest.raises(UsageError, match="--jobs auto: is measured on one machine"):
        Where("ray").refuse("auto")

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("vitbench.benchmark.rays.version", absent)
    with pytest.raises(UsageError, match=r"^--engine ray: needs `pip install 'vitbench\[ray\]'`$"):
        Where("ray").refuse(1)
    Where("ray").refuse(1, dry_run=True)
