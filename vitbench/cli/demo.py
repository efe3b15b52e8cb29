"""`vitbench demo`: the whole way on the built-in pictures."""

from pathlib import Path

from vitbench.benchmark.beside import apart
from vitbench.benchmark.train import TrainRequest, carry_out
from vitbench.cli.compare import show
from vitbench.cli.options import EXIT_FAILED, Outputs, status_of
from vitbench.cli.predict import predict_images
from vitbench.cli.progress import watch
from vitbench.cli.show import say, show_files
from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.data.demo import write_demo
from vitbench.records import Settings
from vitbench.records.commands import command


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
    show(comparison)
    if done == EXIT_FAILED:
        show_files(benchmark, comparison)
        return done
    pictures = [str(sorted(path.iterdir())[0]) for path in sorted((folder / "test").iterdir())]
    print("\nOne test picture of each class, and what every model says (its folder is the truth):")
    sheet = benchmark.folder / "sheet.png"
    status = predict_images(pictures, str(benchmark.folder), [], results, "auto", 1, Outputs(sheet=sheet))
    print(WHAT_IT_TELLS)
    print(f"table, curves, report: {benchmark.folder / 'report.html'}")
    print(f"photos with answers:   {sheet}")
    own = command("train", "FOLDER", results=results)
    print(f"your own photos:       {own}   (one sub-folder per class)")
    return done or status


WHAT_IT_TELLS = """
What these numbers tell: that everything works here, and how fast this machine is.
What they cannot tell: which model is best. 28-pixel pictures, 64 px input and 3 epochs are far from
any model's home; where a row says "random", no pretrained weights were to be had and the model
started from nothing, which transformers with 3 epochs do badly.
"""
