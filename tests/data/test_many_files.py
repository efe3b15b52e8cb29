"""What a scan of very many files must not do: hold every descriptor, or look through all names for each."""

from pathlib import Path

import pytest
from painted import paint_folder

from vitbench.data import scan
from vitbench.data.duplicates import likeness
from vitbench.data.duplicates.descriptors import Descriptor
from vitbench.data.folders import distinct_name
from vitbench.data.scan import scan_folder
from vitbench.data.scan_cache import open_scan_cache
from vitbench.data.walk import leads_back


@pytest.fixture
def settled_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """12 pictures that count as unchanged for long; an empty cache."""
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("vitbench.data.scan_cache.RACY_SECONDS", -60.0)
    return paint_folder(tmp_path / "data", 4)


def test_descriptors_that_are_remembered_are_not_held(settled_folder: Path) -> None:
    """2.6 KB a picture lie in the cache alone, and are had from there; without a cache they are held."""
    files = sorted(settled_folder.rglob("*.png"))
    for remember, held in ((True, 0), (False, 12)):
        with open_scan_cache(remember) as known:
            check = scan._Check.of(files, known, lambda *told: None)
            check.decode(range(12), None)
            assert len(check.descriptors) == held
            lookup = check.lookup()
            made = scan.read_file(files[3])[1]
            seen = check.found[3]
            assert seen is not None
            assert lookup(seen.pixels) == made


def test_beyond_the_most_pictures_no_descriptor_is_made_or_read(
    settled_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 12 pictures where 11 are the most: none is looked for, and the note says so."""
    for module in (likeness, scan):
        monkeypatch.setattr(module, "MOST_PICTURES", 11)

    def asked(digest: str) -> Descriptor:
        raise AssertionError(digest)

    monkeypatch.setattr(scan._Check, "lookup", lambda self: asked)
    found = scan_folder(settled_folder)
    assert found.searched == "near-duplicates: not looked for among more than 11 different pictures"
    monkeypatch.undo()
    assert len(found.pictures) == 12


def test_equal_names_are_numbered_without_looking_at_all_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3000 files called photo.jpg each is looked up once or twice, not once for each before it."""

    class Counted(dict[str, int]):
        looks = 0

        def __contains__(self, key: object) -> bool:
            self.looks += 1
            return super().__contains__(key)

    taken = Counted()
    names = [distinct_name("photo.jpg", taken) for _ in range(3000)]
    assert names[:3] + names[-1:] == ["photo.jpg", "photo-2.jpg", "photo-3.jpg", "photo-3000.jpg"]
    assert taken.looks <= 2 * 3000
    assert distinct_name("Photo-2.jpg", taken) == "Photo-2-2.jpg"
    assert len(set(names)) == 3000


def test_a_link_is_looked_up_among_the_visited_folders(tmp_path: Path) -> None:
    """The folders that were visited are not copied for every link."""

    class Visited(set[Path]):
        def __iter__(self) -> object:  # type: ignore[override]
            raise AssertionError("looked through")

    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    visited = Visited([(tmp_path / "there").resolve()])
    assert leads_back(tmp_path / "link", [], visited)
