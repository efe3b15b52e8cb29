"""What `pretrain` leaves: its encoders as rows, `curves.svg|png`, and a page of pictures rebuilt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vitbench import files
from vitbench.records import Benchmark, Run, percent
from vitbench.records.commands import asking, training_from
from vitbench.reports.figures import Curve, draw_curves
from vitbench.reports.html import rendered, themed, write_drawing
from vitbench.reports.reconstructions import LARGE, SMALL, data_uri, reconstructions_of
from vitbench.reports.write import to_stderr


def encoders(benchmark: Benchmark) -> list[dict[str, Any]]:
    """A row per run: run, model, seed, status, epochs, train_loss, val_loss, seconds_per_epoch, encoder.

    Losses and times are None where the run has not finished, and its encoder's folder is "".
    """
    rows = []
    for run in benchmark.runs:
        row = {"run": run.name, "model": run.planned.network, "seed": run.seed, "status": run.status}
        done = run.metrics() if run.status == "finished" else None
        rows.append(
            {
                **row,
                "epochs": done["epochs"] if done else None,
                "train_loss": done["train"]["loss"] if done else None,
                "val_loss": done["val"]["loss"] if done else None,
                "seconds_per_epoch": done["cost"]["seconds_per_epoch"] if done else None,
                "encoder": str(run.model_folder) if done else "",
            }
        )
    return rows


def write_pretrained(benchmark: Benchmark, warn: Callable[[str], None] = to_stderr) -> list[Path]:
    """Write `curves.svg|png` and `report.html` into the benchmark's folder, each whole or not at all.

    Raises OSError where the folder cannot be written; `warn` gets a line for what could not be drawn.
    """
    curves = draw_curves([Curve(run.name, run.epochs(), None, run.model) for run in benchmark.runs], ["loss"])
    page = benchmark.folder / "report.html"
    written = [page]
    if curves is not None:
        written += [benchmark.folder / "curves.svg", benchmark.folder / "curves.png"]
        write_drawing(curves, benchmark.folder, "curves")
        for note in curves.notes:
            warn(note)
    text = rendered(
        "pretrained.html.j2",
        benchmark=benchmark,
        created=str(benchmark.manifest["created"])[:10],
        headline=_headline(benchmark),
        lines=[_line(run) for run in benchmark.runs],
        rows=encoders(benchmark),
        about={run.name: run.about() for run in benchmark.runs if run.status == "finished"},
        sheets={run.name: _sheets(run) for run in benchmark.runs},
        curves=None if curves is None else themed(curves),
        notes=_notes(benchmark),
        split=benchmark.manifest["split"],
        command=asking(benchmark),
        next_command=training_from(benchmark),
    )
    files.write_text(page, text)
    return written


def _headline(benchmark: Benchmark) -> str:
    split, masked = benchmark.manifest["split"], benchmark.settings.mask_ratio
    models = list(dict.fromkeys(run.planned.network for run in benchmark.runs))
    return (
        f"{', '.join(models)}: pre-trained on {split['n_train']} pictures by rebuilding "
        f"the hidden {percent(masked, 0)} % of each"
    )


def _line(run: Run) -> str:
    """What became of a run, in a sentence."""
    epochs = run.epochs()
    if run.status != "finished" or not epochs:
        return f"{run.name}: {run.failure or run.status}."
    first, last = epochs[0], epochs[-1]
    if first.val_loss is None or last.val_loss is None:
        return f"{run.name}: {last.epoch} epochs."
    if last.epoch == 1:
        return f"{run.name}: loss on val {last.val_loss:.3f} after 1 epoch."
    return f"{run.name}: loss on val {first.val_loss:.3f} → {last.val_loss:.3f} over {last.epoch} epochs."


def _notes(benchmark: Benchmark) -> list[str]:
    """Of the data, the split and the runs."""
    found = [str(note) for note in benchmark.manifest["notes"]]
    for run in benchmark.runs:
        if run.status == "finished":
            found += [f"{run.name}: {note}" for note in run.metrics()["notes"]]
    return found


def _sheets(run: Run) -> list[tuple[int, str]]:
    """(epoch, data URI) of every sheet, the last one first and large."""
    paths = reconstructions_of(run)[::-1]
    return [
        (int(path.stem.removeprefix("epoch-")), data_uri(path, SMALL if place else LARGE))
        for place, path in enumerate(paths)
    ]
