"""Reference results: a fixed set of benchmarks, carried out anew, and what has moved since the stored page.

    make reference                       # three minutes of one idle core: writes reference.md
    make reference-check                 # the same, compared with what is stored; status 1 if anything moved
    python tests/evidence/reference.py write ../shared/datasets ../shared/weights --network
    python tests/evidence/reference.py check ../shared/datasets ../shared/weights --only apples-short

Built-in pictures always; photos where the folders lie there; on a card the whole default experiment too; with
--network Pets and EuroSAT by `vitbench data fetch`. What could not be carried out stands on the page with the
reason. reference.json holds what is compared, the page is made from it: on the same machine, with the same
commit and versions, a second call writes the same bytes. Times are no part of them: they are appended to
reference_times.jsonl, a line per call and benchmark.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # decides the last bits

from pages import PAGES, ROOT

from vitbench import files
from vitbench.benchmark.train import train
from vitbench.comparison.compare import compare
from vitbench.comparison.measured import Row
from vitbench.data.demo import write_demo
from vitbench.errors import VitbenchError, first_line
from vitbench.narrative.narrate import narrate
from vitbench.records import Benchmark
from vitbench.records.watch import Watch

PAGE = PAGES / "reference.md"
RECORD = PAGE.with_suffix(".json")
TIMES = PAGES / "reference_times.jsonl"
NETWORKS = {
    "vit_small_patch14_dinov2": "vit_small_patch14_dinov2.safetensors",
    "tf_efficientnet_lite0": "efficientnet_lite0.safetensors",
}
DEMO = "built-in pictures"
SCORES = ("correct", "top1", "top1_low", "top1_high", "loss")


@dataclass(frozen=True)
class Reference:
    """A benchmark of the set."""

    name: str
    data: str
    """A folder of the photos, `DEMO`, or the name of a set for `vitbench data fetch`."""
    settings: Mapping[str, Any]
    real: bool = False
    """The two real networks, from the weights that lie there."""
    card: bool = False
    """On a GPU only."""
    fetched: bool = False
    """Its pictures come over the network."""


SMALL = {"quick": True, "weights": ("random",), "models": ("vit", "swin"), "epochs": 1, "per_class": 20}
PROBED = {"recipe": "probe", "image_size": 112}
SHORT = {"epochs": 2, "per_class": 20, "image_size": 112, "with_probe": True}
SET = (
    Reference("builtin", DEMO, SMALL),
    Reference("flowers5-probe", "flowers5", {**PROBED, "folds": 5}, real=True),
    Reference("apples-short", "grocery_apples", SHORT, real=True),
    Reference("flowers5-whole", "flowers5", {"deterministic": True}, real=True, card=True),
    Reference("pets-probe", "oxford-iiit-pet", PROBED, real=True, fetched=True),
    Reference("eurosat-probe", "eurosat-rgb", PROBED, real=True, fetched=True),
)
"""In the order of the page; budgets for three minutes of one idle core."""


@dataclass(frozen=True)
class Places:
    """Where pictures and weights lie, and what else there is."""

    photos: Path
    weights: Path
    work: Path
    """For benchmarks, pictures and the cache of this call."""
    card: bool = False
    network: bool = False


@dataclass
class Found:
    """What came of the set."""

    about: dict[str, Any]
    """Machine, versions, commit."""
    results: dict[str, Any] = field(default_factory=dict)
    """By benchmark: rows, answer, verdicts; or why not."""
    seconds: dict[str, float] = field(default_factory=dict)


# --- carrying out -----------------------------------------------------------------------------------


def carry_out(places: Places, chosen: Sequence[Reference] = SET) -> Found:
    """Every benchmark of the set, one after the other."""
    found = Found(_about(places))
    for one in chosen:
        started = time.monotonic()
        try:
            found.results[one.name] = result_of(_trained(one, places))
            found.seconds[one.name] = round(time.monotonic() - started, 1)
        except VitbenchError as error:
            found.results[one.name] = {"not": first_line(error)}
        print(
            f"{one.name}: {found.results[one.name].get('answer', found.results[one.name].get('not'))}",
            flush=True,
        )
    return found


def _trained(one: Reference, places: Places) -> Benchmark:
    settings = dict(one.settings)
    if one.card and not places.card:
        raise VitbenchError("no GPU here")
    if one.real:
        files_of = {name: places.weights / file for name, file in NETWORKS.items()}
        if lacking := [path.name for path in files_of.values() if not path.exists()]:
            raise VitbenchError(f"no {lacking[0]} among the weights")
        settings |= {
            "models": tuple(NETWORKS),
            "weights": tuple(f"{n}={path}" for n, path in files_of.items()),
        }
    settings.setdefault("device", "cuda" if places.card else "cpu")
    if settings.get("recipe") != "probe":  # compiled steps round otherwise, and whether they pay depends on
        settings["compile"] = False  # how busy the machine is
    return train(
        _pictures(one, places), name=one.name, results=places.work / "results", watch=Watch(), **settings
    )


def _pictures(one: Reference, places: Places) -> Path:
    if one.data == DEMO:
        write_demo(places.work / "builtin")
        return places.work / "builtin"
    if not one.fetched:
        if not (places.photos / one.data).is_dir():
            raise VitbenchError(f"no {one.data} among the photos")
        return places.photos / one.data
    if not places.network:
        raise VitbenchError("needs a network (--network)")
    folder = places.work / one.data
    call = [sys.executable, "-m", "vitbench", "data", "fetch", one.data, str(folder), "--limit", "1000"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise VitbenchError((done.stderr.strip() or "data fetch failed").splitlines()[-1])
    return folder


def result_of(benchmark: Benchmark) -> dict[str, Any]:
    """What is compared of a benchmark; no times."""
    comparison = compare(benchmark)
    told = narrate(comparison)
    return {
        "n_test": comparison.n_test,
        "split": benchmark.manifest["split"]["digest"],
        "rows": {row.model: _row(row, benchmark) for row in comparison.rows},
        "answer": told.answer,
        "verdicts": [*told.verdicts, *told.probe_verdicts],
    }


def _row(row: Row, benchmark: Benchmark) -> dict[str, Any]:
    loss = row.metrics.get("loss")
    told = {"correct": row.correct, "top1": row.top1, "top1_low": row.top1_low, "top1_high": row.top1_high}
    hashes = {run: files.sha256_of(benchmark.folder / run / "predictions.csv") for run in row.runs}
    return {**told, "loss": None if loss is None else loss.value, "reason": row.reason, "predictions": hashes}


def _about(places: Places) -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "threads": os.environ["OMP_NUM_THREADS"],
        "card": _card() if places.card else "",
        "versions": {name: version(name) for name in ("torch", "timm", "numpy", "scikit-learn", "pillow")},
        "commit": _commit(),
    }


def _card() -> str:
    import torch

    return str(torch.cuda.get_device_name(0))


def _commit() -> str:
    """The commit, " and changes" where files of the package differ from it; "" without git."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "vitbench"], capture_output=True, text=True, check=False
    )
    return f"{head.stdout.strip()}{' and changes' if changed.stdout.strip() else ''}"


# --- the page ---------------------------------------------------------------------------------------


def page(found: Mapping[str, Any]) -> str:
    """What is in the record as a page in Markdown."""
    about = found["about"]
    versions = ", ".join(f"{name} {one}" for name, one in about["versions"].items())
    card = f", {about['card']}" if about["card"] else ""
    commit = f"commit {about['commit']}" if about["commit"] else "commit not known"
    lines = [
        "# Reference results",
        "",
        "Generated by `make reference` from reference.json; `make reference-check` carries all of it out",
        "anew and names what moved. Intervals are 95 %; hashes are of each run's predictions.csv. Times",
        "are in reference_times.jsonl, for no two calls have the same.",
        "",
        f"{about['system']}, {about['threads']} threads{card}; {versions}; {commit}.",
    ]
    for name, one in found["results"].items():
        lines += ["", f"## {name}", ""]
        if "not" in one:
            lines += [f"Not carried out: {one['not']}."]
            continue
        lines += [
            one["answer"],
            "",
            f"| model | right of {one['n_test']} | top-1 % [95 %] | loss | predictions |",
            "|---|---|---|---|---|",
        ]
        lines += [_line(model, row) for model, row in one["rows"].items()]
        lines += ["", *(f"- {line}" for line in one["verdicts"])]
    return "\n".join(lines).rstrip() + "\n"


def _line(model: str, row: Mapping[str, Any]) -> str:
    if row["top1"] is None:
        return f"| {model} | – | – | – | {row['reason']} |"
    top1 = f"{100 * row['top1']:.1f} [{100 * row['top1_low']:.1f}, {100 * row['top1_high']:.1f}]"
    hashes = ", ".join(one[:12] for one in row["predictions"].values())
    return f"| {model} | {row['correct']:g} | {top1} | {row['loss']:.4f} | {hashes} |"


# --- what moved -------------------------------------------------------------------------------------


def moved(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line per row and verdict that is another one now, with by how much; [] where nothing moved."""
    lines = []
    for name, one in now["results"].items():
        was = before["results"].get(name)
        if was is None or "not" in was or "not" in one:
            if was is None or was.get("not") != one.get("not"):
                reasons = [("not stored" if x is None else x.get("not", "carried out")) for x in (was, one)]
                lines.append(f"{name}: {reasons[0]} → {reasons[1]}")
            continue
        if was["split"] != one["split"]:
            lines.append(f"{name}: another split")
        for model in dict.fromkeys([*was["rows"], *one["rows"]]):
            lines += _moved_row(f"{name}, {model}", was["rows"].get(model), one["rows"].get(model))
        gone, new = (
            [line for line in a["verdicts"] if line not in b["verdicts"]] for a, b in ((was, one), (one, was))
        )
        lines += [f"{name}: no more: {line}" for line in gone] + [f"{name}: now: {line}" for line in new]
    return lines


def _moved_row(name: str, was: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[str]:
    if was is None or now is None:
        return [f"{name}: {'new' if was is None else 'gone'}"]
    told = [
        f"{score} {was[score]:.6g} → {now[score]:.6g} ({now[score] - was[score]:+.3g})"
        for score in SCORES
        if was[score] is not None and now[score] is not None and was[score] != now[score]
    ]
    told += [
        f"{score} {was[score]} → {now[score]}"
        for score in SCORES
        if (was[score] is None) != (now[score] is None)
    ]
    if was["predictions"] != now["predictions"]:
        told.append("other predictions")
    return [f"{name}: {', '.join(told)}"] if told else []


def write(found: Found) -> None:
    """Write record and page; append the times.

    What was not carried out now is taken from the record, where that is of the same commit and machine.
    """
    stored = files.read_json(RECORD) if RECORD.exists() else {"about": {}, "results": {}}
    before = stored["results"] if stored["about"] == found.about else {}
    every = {**before, **found.results}
    results = {name: every[name] for name in [*(one.name for one in SET), *every] if name in every}
    kept = {"about": found.about, "results": results}
    files.write_text(RECORD, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    files.write_text(PAGE, page(kept))
    with TIMES.open("a", encoding="utf-8") as file:
        for name, seconds in found.seconds.items():
            file.write(
                json.dumps({"commit": found.about["commit"], "benchmark": name, "seconds": seconds}) + "\n"
            )


def check(found: Found) -> int:
    """Print what moved since the stored record; the exit status."""
    if not RECORD.exists():
        print(f"{RECORD.name}: not there; `make reference` writes it")
        return 1
    stored = files.read_json(RECORD)
    lines = moved(stored, {"results": found.results})
    other = {
        key: (stored["about"].get(key), one)
        for key, one in found.about.items()
        if stored["about"].get(key) != one
    }
    for key, (was, now) in other.items():
        print(f"about: {key}: {was} → {now}")
    print("\n".join(lines) or f"nothing moved in {len(found.results)} benchmarks")
    return 1 if lines else 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("write", "check"))
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--network", action="store_true", help="Pets and EuroSAT too")
    names = [one.name for one in SET]
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, help="these alone; the rest as stored"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        os.environ["VITBENCH_CACHE"] = str(Path(work) / "cache")  # so that times are those of a first call
        import torch

        places = Places(
            asked.photos.resolve(),
            asked.weights.resolve(),
            Path(work),
            torch.cuda.is_available(),
            asked.network,
        )
        found = carry_out(places, [one for one in SET if one.name in asked.only])
    if asked.what == "check":
        return check(found)
    write(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
