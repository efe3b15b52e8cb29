"""`vitbench demo`: the whole way on the built-in pictures."""

from pathlib import Path

from vitbench.benchmark.beside import apart
from vitbench.benchmark.predict import predict
from vitbench.benchmark.train import TrainRequest, carry_out
from vitbench.cli.compare import show
from vitbench.cli.options import EXIT_FAILED, status_of
from vitbench.cli.progress import watch
from vitbench.cli.show import console, report_lines, say, show_lines
from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.data.decode import decode
from vitbench.data.demo import write_demo
from vitbench.records import Benchmark, Settings
from vitbench.records.commands import command
from vitbench.reports.lines import Line
from vitbench.reports.screen import command_lines, first_screen
from vitbench.reports.sheet import write_sheet

WHAT_IT_TELLS = (
    "This shows that everything works here, and how fast; not which model is best: 28-pixel pictures and 3 "
    "epochs are no model's home"
)


def run_demo(folder: Path, results: Path) -> int:
    """Write the pictures, train the three default models quickly, compare, predict; the exit status."""
    write_demo(folder)
    say(f"{folder}: 800 small product photos (Fashion-MNIST, MIT), 10 classes, train/ and test/")
    made: list[Comparison] = []
    with watch(results) as display:
        asked = TrainRequest(Settings(quick=True, weights=("auto",)), folder, results=results)
        benchmark = carry_out(asked, display, compared=made.append, apart=apart())
    done = status_of(sum(run.status == "finished" for run in benchmark.runs), len(benchmark.runs))
    comparison = made[-1] if made else compare(benchmark)
    if done == EXIT_FAILED:
        show(comparison, [benchmark])
        return done
    _ask(benchmark, folder / "test", sheet := benchmark.folder / "sheet.png")
    show_lines(demo_screen(benchmark, comparison, sheet, console().width))
    return done


def _ask(benchmark: Benchmark, tested: Path, sheet: Path) -> None:
    """What every model says of the first test picture of each class, drawn with the pictures."""
    pictures = [str(min(path.iterdir())) for path in sorted(tested.iterdir())]
    answers = list(predict(*pictures, run=benchmark))
    runs = list(dict.fromkeys(run for answer in answers for run in answer.predictions))
    for note in write_sheet(sheet, answers, runs, lambda path: decode(Path(path))):
        say(f"note: {note}")


def demo_screen(benchmark: Benchmark, comparison: Comparison, sheet: Path, width: int) -> list[Line]:
    """The comparison, what it cannot tell, and the way to one's own photos."""
    own = command("train", "FOLDER", results=benchmark.folder.parent)
    closing = [
        *command_lines("next:", own, width),
        Line("      (your own photos, one sub-folder per class)"),
        *report_lines(benchmark, width),
        Line(f"pictures and answers: {sheet}"),
    ]
    return first_screen(comparison, width, closing, [WHAT_IT_TELLS])
