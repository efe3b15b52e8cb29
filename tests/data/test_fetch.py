"""Known public sets, as small stand-ins in their own layouts, from a server on this machine."""

import dataclasses
import hashlib
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import standins
from huggingface_hub import constants
from PIL import Image
from standins import ARCHIVES, Server, serving, wait_for
from torchvision import datasets
from typer.testing import CliRunner

import vitbench
from vitbench.cli.data import data_app
from vitbench.data.public import archives, download, hub
from vitbench.data.public.pictures import Entry, counted_parts, stratified
from vitbench.data.public.sets import SETS, Archive, set_named
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.errors import RefusedError, UsageError, VitbenchError
from vitbench.locks import locked
from vitbench.records.watch import Watch

NEEDS_TABLES = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not here")
CLI = [sys.executable, "-c", """
import dataclasses, json, os
from vitbench.data.public import sets
for name, files in json.loads(os.environ["STANDINS"]).items():
    made = tuple(sets.Archive(*one) for one in files)
    sets.SETS[name] = dataclasses.replace(sets.SETS[name], archives=made)
from vitbench.cli import main
main()
"""]  # fmt: skip
"""`vitbench` that knows the stand-ins."""


@pytest.fixture(scope="module")
def standin() -> dict[str, dict[str, bytes]]:
    return {name: make() for name, make in ARCHIVES.items()}


@pytest.fixture
def server(
    standin: dict[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Every set's stand-in, its addresses and sums in place of the real ones; an empty cache."""
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with serving() as served:
        changed = {}
        for name, files in standin.items():
            made = []
            for one in SETS[name].archives:
                content = files[one.name]
                served.files[f"/{name}/{one.name}"] = content
                md5 = hashlib.md5(content).hexdigest()
                made.append(Archive(f"{served.address}/{name}/{one.name}", md5, one.folder))
            monkeypatch.setitem(SETS, name, dataclasses.replace(SETS[name], archives=tuple(made)))
            changed[name] = [dataclasses.astuple(one) for one in made]
        monkeypatch.setenv("STANDINS", json.dumps(changed))
        _believe(standin, monkeypatch)
        for name in ("HF_TOKEN", "HTTP_PROXY", "http_proxy", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", served.address)
        template = served.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield served


def _believe(standin: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision looks at the sums of some files that it reads; those of the stand-ins are others."""
    from torchvision.datasets import cifar

    known = dict(datasets.Flowers102._file_dict)
    for key, (name, _) in known.items():
        known[key] = (name, hashlib.md5(standin["flowers-102"][name]).hexdigest())
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", known)
    monkeypatch.setattr(cifar, "check_integrity", lambda path, md5=None: Path(path).is_file())


def names(place: str = ".") -> list[str]:
    """What lies in a folder, hidden things too."""
    return sorted(path.name for path in Path(place).iterdir())


COUNTS = {
    "oxford-iiit-pet": {"train": 8, "test": 6},
    "flowers-102": {"train": 4, "val": 4, "test": 6},
    "food-101": {"train": 8, "test": 4},
    "imagenette": {"train": 9, "val": 6},
    "imagenette-320": {"train": 9, "val": 6},
    "cifar-10": {"train": 10, "test": 4},
    "cifar-100": {"train": 10, "test": 4},
}
SHOWN = {
    "oxford-iiit-pet": "test/American Bulldog/american_bulldog_5.jpg",
    "flowers-102": "val/hard-leaved pocket orchid/image_00006.jpg",
    "food-101": "test/apple_pie/4.jpg",
    "imagenette": "val/tench/n01440764_val_0.JPEG",
    "imagenette-320": "train/English springer/n02102040_train_1.JPEG",
    "cifar-10": "test/automobile/00001.png",
    "cifar-100": "train/airplane/00008.png",
}
"""One file of each."""


@pytest.mark.parametrize("name", list(COUNTS))
def test_each_set_becomes_an_image_folder_with_its_official_split(name: str, server: Server) -> None:
    """The authors' parts are the folder's parts, `train` takes them, and where they come from is beside."""
    found = vitbench.fetch(name)
    assert found.folder == Path(name)
    assert found.counts == COUNTS[name]
    assert Path(name, SHOWN[name]).is_file()
    images = scan_folder(Path(name))
    assert (images.layout, counted_parts(images.pictures)) == ("split", COUNTS[name])
    split = split_images(images)
    held_out = "test" if "test" in COUNTS[name] else "val"
    assert {picture.part for picture in split.test} == {held_out}
    source = json.loads((Path(name) / "source.json").read_text(encoding="utf-8"))
    assert source["licence"] == SETS[name].licence
    assert [one["md5"] for one in source["files"]] == [one.md5 for one in SETS[name].archives]
    assert names() == ["cache", name]
    assert not list(Path(name).glob(".*"))


def test_pictures_are_the_very_ones(server: Server, standin: dict[str, dict[str, bytes]]) -> None:
    """Files keep their bytes; CIFAR's numbers become PNGs that show the same pixels, under their class."""
    vitbench.fetch("oxford-iiit-pet", "pets")
    assert Path("pets/train/Abyssinian/Abyssinian_3.jpg").read_bytes() == standins.picture(103)
    vitbench.fetch("cifar-10", "cifar")
    with Image.open("cifar/train/airplane/00002.png") as opened:
        shown = opened.convert("RGB").tobytes()
    numbers = standins.np.random.default_rng(1).integers(0, 256, (2, 3072), dtype="uint8")[0]
    assert shown == numbers.reshape(3, 32, 32).transpose(1, 2, 0).tobytes()


def test_known_sums_are_those_of_torchvision() -> None:
    """Addresses and MD5 sums are as the installed torchvision has them."""
    ours = {one.address: one.md5 for known in SETS.values() for one in known.archives}
    theirs = dict(datasets.OxfordIIITPet._RESOURCES)
    prefix = datasets.Flowers102._download_url_prefix
    theirs |= {prefix + name: md5 for name, md5 in datasets.Flowers102._file_dict.values()}
    theirs |= {kind.url: kind.tgz_md5 for kind in (datasets.CIFAR10, datasets.CIFAR100)}
    theirs |= {url: md5 for size, (url, md5) in datasets.Imagenette._ARCHIVES.items() if size != "160px"}
    theirs[datasets.Food101._URL] = datasets.Food101._MD5
    assert ours == theirs
    assert set(archives.READERS) == {one.name for one in SETS.values() if one.archives}


# --- the hub ----------------------------------------------------------------------------------------


@pytest.fixture
def on_hub(server: Server) -> Server:
    """timm's three sets as stand-ins, two tables for one part."""
    for repository in ("timm/eurosat-rgb", "timm/resisc45", "timm/oxford-iiit-pet"):
        tables = {
            "data/train-00000-of-00002.parquet": standins.table(("Forest", "River"), 8, 0),
            "data/train-00001-of-00002.parquet": standins.table(("Forest", "River"), 4, 100),
            "data/validation-00000-of-00001.parquet": standins.table(
                ("Forest", "River"), 4, 200, paths=False
            ),
            "data/test-00000-of-00001.parquet": standins.table(("Forest", "River"), 6, 300),
        }
        server.hub(repository, tables, "mit")
    server.files["/api/datasets/me/texts"] = json.dumps(
        {"id": "me/texts", "sha": "c", "siblings": [{"rfilename": "README.md"}]}
    ).encode()
    return server


@NEEDS_TABLES
@pytest.mark.parametrize("name", ["eurosat-rgb", "resisc45", "timm/oxford-iiit-pet", "TIMM/Oxford-IIIT-Pet"])
def test_tables_on_the_hub_become_folders(name: str, on_hub: Server) -> None:
    """Parts, class names and bytes are those of the tables; pictures without a name are numbered."""
    found = vitbench.fetch(name, "out")
    assert found.counts == {"train": 12, "val": 4, "test": 6}
    assert Path("out/train/River/101.png").read_bytes() == standins.picture(101, "PNG")
    assert Path("out/val/River/000001.png").read_bytes() == standins.picture(201, "PNG")
    assert {tuple(one)[1] for one in found.files} == {"sha256", "git"}
    assert split_images(scan_folder(Path("out"))).rule.startswith(
        "train/, val/ and test/ as they are on disk"
    )


@NEEDS_TABLES
def test_a_set_of_the_hub_that_is_not_in_the_list(on_hub: Server) -> None:
    """OWNER/NAME is taken with the licence that its card states; one without tables is refused."""
    on_hub.hub("me/leaves", {"train.parquet": standins.table(("a/b", "c"), 5, 0)}, "cc0-1.0")
    found = vitbench.fetch("me/leaves", limit=4)
    assert (found.folder, found.licence, found.counts) == (Path("leaves"), "cc0-1.0", {"train": 4})
    assert names("leaves/train") == ["a_b", "c"]
    with pytest.raises(UsageError, match=r"^me/texts: no tables train-….parquet on the hub"):
        vitbench.fetch("me/texts")
    with pytest.raises(VitbenchError, match=r"^me/none: http://127\S+ has no such data set.*\(HTTP 404\)$"):
        vitbench.fetch("me/none")


@NEEDS_TABLES
def test_only_the_rows_that_are_wanted_are_read(on_hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --limit, groups of rows that hold none of the chosen pictures stay unread."""
    path = Path("table.parquet")
    path.write_bytes(standins.table(("Forest", "River"), 9, 0))
    with hub._opened(path) as table:
        read: list[Any] = []
        batches = table.iter_batches
        monkeypatch.setattr(
            table, "iter_batches", lambda *rows, **asked: read.append(asked) or batches(*rows, **asked)
        )
        got = list(hub._contents(table, "image", {4, 5}))
    assert got == [(row, standins.picture(row, "PNG")) for row in (4, 5)]
    assert [asked["row_groups"] for asked in read] == [[1]]


def test_without_a_reader_of_tables(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is downloaded, with the line that installs it."""
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    with pytest.raises(VitbenchError, match=r"pip install 'vitbench\[hub\]'$"):
        vitbench.fetch("eurosat-rgb")
    assert server.asked == []


# --- parts ------------------------------------------------------------------------------------------


def test_a_limit_keeps_the_proportions() -> None:
    """Each class of each part has its share, at least two; a larger limit has them all."""
    sizes = {("train", "a"): 60, ("train", "b"): 30, ("test", "a"): 8, ("test", "b"): 2}
    entries = []
    for (part, label), count in sizes.items():
        for number in range(count):
            entries.append(Entry(part, label, f"{number}.jpg", len(entries)))  # type: ignore[arg-type]

    def shares(limit: int) -> list[int]:
        found = stratified(entries, limit, "key")
        assert len(found) == min(limit, 100)
        return [sum((one.part, one.label) == cell for one in found) for cell in sizes]

    assert shares(50) == [29, 15, 4, 2]
    assert shares(8) == [2, 2, 2, 2]
    assert shares(1000) == [60, 30, 8, 2]
    assert set(stratified(entries, 20, "key")) < set(stratified(entries, 21, "key"))
    assert stratified(entries, 20, "key") == stratified(entries, 20, "key")
    assert stratified(entries, 20, "key") != stratified(entries, 20, "other")
    with pytest.raises(
        UsageError, match=r"^--limit 7: 4 classes of all parts, 2 pictures of each: at least 8"
    ):
        stratified(entries, 7, "key")


def test_limit_writes_the_same_part_each_time(server: Server) -> None:
    """Twice the same files; the download is there the second time, and not asked for again."""
    first = vitbench.fetch("oxford-iiit-pet", "one", limit=10)
    asked = len(server.asked)
    second = vitbench.fetch("oxford-iiit-pet", "two", limit=10)
    assert first.counts == second.counts == {"train": 6, "test": 4}
    one, two = ({p.relative_to(d).as_posix() for p in Path(d).rglob("*.jpg")} for d in ("one", "two"))
    assert one == two
    assert len(server.asked) == asked == 2


# --- faults -----------------------------------------------------------------------------------------


def nothing_made(place: Path) -> bool:
    """Neither the folder nor anything half-made beside it."""
    return not place.exists() and not [
        p for p in place.parent.iterdir() if p.name.startswith(f".{place.name}")
    ]


def test_a_wrong_sum_is_refused_and_removed(server: Server) -> None:
    """One line; nothing of it is kept, and when the server is mended the same call works."""
    server.modes["food-101.tar.gz"] = "broken"
    with pytest.raises(
        VitbenchError, match=r"/food-101.tar.gz: not the file that was published \(md5 differs"
    ):
        vitbench.fetch("food-101")
    assert nothing_made(Path("food-101"))
    assert [p.name for p in Path("cache/downloads/food-101").iterdir() if not p.name.startswith(".")] == []
    server.modes.clear()
    assert vitbench.fetch("food-101").new


def test_without_a_network(server: Server) -> None:
    """One line that names the server; the same for what it has not, and for the hub."""
    server.modes["imagenette2.tgz"] = "gone"
    with pytest.raises(VitbenchError, match=r"imagenette2.tgz: HTTP 404 \(Not Found\); try again later$"):
        vitbench.fetch("imagenette")
    dead = Archive("http://127.0.0.1:9/imagenette2.tgz", "0" * 32)
    remote = download.Remote(dead.address, dead.name, "md5", dead.md5)
    with pytest.raises(VitbenchError) as caught:
        download.download(remote, Path(), lambda done, total: None)
    assert str(caught.value).startswith("127.0.0.1:9: cannot be reached ([Errno ")
    assert str(caught.value).endswith("; run it again when there is a network, it goes on")
    assert nothing_made(Path("imagenette"))


def test_the_hub_cannot_be_reached(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, at once."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "find_spec", lambda name: True)
    with pytest.raises(VitbenchError) as caught:
        vitbench.fetch("timm/resisc45")
    assert str(caught.value).startswith("timm/resisc45: http://127.0.0.1:9 cannot be reached (")
    assert "\n" not in str(caught.value)
    assert nothing_made(Path("resisc45"))


def test_a_connection_that_is_cut_is_taken_up_again(server: Server) -> None:
    """As long as bytes come: from where it was cut, in one call; else what came is kept for the next."""
    size = len(server.files["/food-101/food-101.tar.gz"])
    server.modes["food-101.tar.gz"] = "cut"
    assert vitbench.fetch("food-101").new
    assert server.asked == ["food-101.tar.gz from 0", f"food-101.tar.gz from {size // 2}"]
    server.asked.clear()
    server.modes["cifar-10-python.tar.gz"] = "always cut"
    with pytest.raises(
        VitbenchError, match=r"the connection was lost; 0\.\d MB of cifar-10-python.tar.gz are kept"
    ):
        vitbench.fetch("cifar-10")
    assert nothing_made(Path("cifar-10"))
    server.modes["cifar-10-python.tar.gz"] = "anew"  # a server that knows no ranges begins again
    assert vitbench.fetch("cifar-10").counts == COUNTS["cifar-10"]


def test_a_silent_server_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it came, then nothing: the line says what is kept."""
    monkeypatch.setattr(download, "SILENT_SECONDS", 0.3)
    server.modes["food-101.tar.gz"] = "halts"
    with pytest.raises(
        VitbenchError, match=r"the connection was lost \(timed out\); 0\.\d MB of food-101.tar.gz"
    ):
        vitbench.fetch("food-101")


def test_a_whole_part_is_not_asked_for_again(server: Server, standin: dict[str, dict[str, bytes]]) -> None:
    """Killed after the last byte: the server has no more, and the sum decides."""
    kept = Path("cache/downloads/food-101")
    kept.mkdir(parents=True)
    (kept / "food-101.tar.gz.part").write_bytes(standin["food-101"]["food-101.tar.gz"])
    assert vitbench.fetch("food-101").new
    (kept / "food-101.tar.gz").write_bytes(b"damaged since")
    assert vitbench.fetch("food-101", "again").new


@pytest.mark.slow
def test_killed_half_way_and_resumed(server: Server, tmp_path: Path) -> None:
    """kill -9 in the download and in the writing: nothing half-made, and the next call goes on there."""
    server.modes["images.tar.gz"] = "halts"
    started = subprocess.Popen(
        [*CLI, "data", "fetch", "oxford-iiit-pet"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    part = tmp_path / "cache" / "downloads" / "oxford-iiit-pet" / "images.tar.gz.part"
    half = len(server.files["/oxford-iiit-pet/images.tar.gz"]) // 2
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert nothing_made(tmp_path / "oxford-iiit-pet")
    came = part.stat().st_size
    assert 0 < came <= half
    server.asked.clear()
    server.modes.clear()
    leftover = Path(".oxford-iiit-pet.new/train")  # as a kill while pictures are written leaves it
    leftover.mkdir(parents=True)
    assert vitbench.fetch("oxford-iiit-pet").counts == COUNTS["oxford-iiit-pet"]
    assert server.asked == [f"images.tar.gz from {came}", "annotations.tar.gz from 0"]
    assert names() == ["cache", "oxford-iiit-pet"]


@pytest.mark.slow
def test_a_full_disk(server: Server, tmp_path: Path) -> None:
    """A tmpfs that ends in the download: one line, status 1, no folder; with room again, all is well."""
    words = ["unshare", "-Urm", "bash", "-c"]
    mount = "mkdir -p small; mount -t tmpfs -o size=8k none small"
    if (
        shutil.which("unshare") is None
        or subprocess.run([*words, mount], cwd=tmp_path, check=False).returncode
    ):
        pytest.skip("nobody may mount here (unshare -Urm)")
    script = f'{mount}; VITBENCH_CACHE=small/cache "$@" data fetch oxford-iiit-pet; echo $?; ls -A'
    done = subprocess.run(
        [*words, script, "bash", *CLI], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "vitbench: small/cache/downloads/oxford-iiit-pet/images.tar.gz.part: no space left"
    ), last
    assert last.endswith("; what was downloaded is kept, run it again")
    assert "Traceback" not in done.stderr
    assert done.stdout.split() == ["1", "small"]


def test_a_full_disk_while_pictures_are_written(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is not there, and what was downloaded is."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "train/x.jpg")

    with monkeypatch.context() as patch:
        patch.setattr(archives.ArchiveReader, "write", full)
        with pytest.raises(VitbenchError, match=r"^train/x.jpg: no space left on its disk; make r"):
            vitbench.fetch("food-101")
    assert nothing_made(Path("food-101"))
    assert Path("cache/downloads/food-101/food-101.tar.gz").is_file()


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    """No member is written above the folder; one line."""
    archive = tmp_path / "evil.tar.gz"
    archive.write_bytes(standins.tarred({"../outside.txt": b"x"}))
    with pytest.raises(VitbenchError, match=r"^evil.tar.gz: cannot be unpacked \("):
        archives.unpack(archive, tmp_path / "inside", lambda done, total: None)
    assert not (tmp_path / "outside.txt").exists()


def test_an_archive_of_another_layout(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision does not find what it expects: one line, nothing made."""
    content = standins.tarred({"readme.txt": b"moved"})
    server.files["/food-101/food-101.tar.gz"] = content
    one = Archive(SETS["food-101"].archives[0].address, hashlib.md5(content).hexdigest())
    monkeypatch.setitem(SETS, "food-101", dataclasses.replace(SETS["food-101"], archives=(one,)))
    with pytest.raises(
        VitbenchError, match=r"^food-101: its archives do not hold what torchvision expects \(Data"
    ):
        vitbench.fetch("food-101")
    assert nothing_made(Path("food-101"))


# --- folders, names, words --------------------------------------------------------------------------


def test_a_folder_that_is_there(server: Server) -> None:
    """The same set is left as it is; anything else in its place is refused before a byte is asked for."""
    vitbench.fetch("food-101")
    server.asked.clear()
    again = vitbench.fetch("food-101")
    assert (again.new, again.counts) == (False, COUNTS["food-101"])
    for other in ({"name": "food-101", "limit": 8}, {"name": "cifar-10"}):
        with pytest.raises(UsageError, match=r"^food-101: not an empty folder; name a new one$"):
            vitbench.fetch(folder="food-101", **other)  # type: ignore[arg-type]
    assert server.asked == []


def test_one_fetch_of_a_set_at_a_time(server: Server) -> None:
    """Another process that downloads it is named; nothing is mixed."""
    kept = Path("cache/downloads/food-101")
    kept.mkdir(parents=True)
    with locked(kept), pytest.raises(RefusedError, match=r"process \d+ on .* is writing it"):
        vitbench.fetch("food-101")


def test_names() -> None:
    """Known in any case; a slip gets the near one; what is neither a name nor OWNER/NAME is refused."""
    assert set_named(" CIFAR-10 ").name == "cifar-10"
    with pytest.raises(
        UsageError, match=r"^cifar10: no set of that name; did you mean cifar-10\?; `vitbench data"
    ):
        set_named("cifar10")
    with pytest.raises(UsageError, match=r"^a/b/c: no set of that name"):
        set_named("a/b/c")


def test_the_command_prints_counts_licence_and_what_is_next(server: Server) -> None:
    """The answer first; a difference to what is published is said, and nothing is wider than the screen."""
    done = CliRunner().invoke(
        data_app, ["fetch", "oxford-iiit-pet", "my pets"], catch_exceptions=False, env={"COLUMNS": "80"}
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "my pets: 14 pictures of 2 classes, train/ 8, test/ 6, its official split"
    assert "licence: CC BY-SA 4.0" in done.stdout
    assert "published: train 3680, test 3669 of 37 classes" in " ".join(done.stdout.split())
    assert lines[-1] == "next: vitbench train 'my pets'"
    assert max(map(len, lines)) <= 80


def test_the_list_needs_no_network(server: Server) -> None:
    """Without a name: a row per set, with its official counts and size."""
    done = CliRunner().invoke(data_app, ["fetch"], catch_exceptions=False)
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(SETS)
    assert server.asked == []


def test_progress_is_told(server: Server) -> None:
    """Bytes in MB, unpacking, writing: each with its total; the licence comes before the download."""
    told: dict[str, tuple[int, int]] = {}

    class Listens(Watch):
        def work(self, what: str, done: int, total: int) -> None:
            told[what] = (done, total)

        def message(self, text: str) -> None:
            assert told == {}
            assert text.startswith("Food-101: none; beyond scientific fair use")

    vitbench.fetch("food-101", watch=Listens())
    assert set(told) == {"downloading food-101.tar.gz, MB", "unpacking food-101.tar.gz", "writing pictures"}
    assert told["writing pictures"] == (12, 12)
