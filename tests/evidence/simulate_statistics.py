"""How often vitbench's intervals cover the truth and its verdicts are false: writes statistics.md beside it.

    python tests/evidence/simulate_statistics.py                # all modules, two at a time
    python tests/evidence/simulate_statistics.py groups seeds   # these anew, the others as they were
    python tests/evidence/simulate_statistics.py --page         # the page anew from what is stored
    python tests/evidence/simulate_statistics.py --quick        # a tiny run, to standard output

Made-up models answer made-up pictures of which the truth is known; the product's own functions judge them.
Each name in `MODULES` is a file simulated_NAME.py with its `PARTS`; what it found is kept in
statistics/NAME.json, and what it had found before a change, {rate: [mean, worst cell]}, in
statistics/NAME.before.json. Not called statistics.py, because a script's folder comes first on the path and
that name is Python's own.
"""

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

from pages import PAGES
from simulated_page import Before, Section, page

MODULES = (
    "accuracy",
    "groups",
    "seeds",
    "scores",
    "families",
    "apart",
    "folds",
    "dependence",
    "power",
    "hard_scores",
    "temperature",
    "advice",
)
"""In the order of the page."""
STORE = PAGES / "statistics"
QUICK = 0.002


def simulate(module: str, scale: float) -> list[Section]:
    parts = import_module(f"simulated_{module}").PARTS
    return [section for part in parts for section in part.simulate(scale)]


def store(module: str, scale: float = 1.0) -> str:
    """Simulate a module and keep what it finds; the line that says how long it took."""
    start = time.monotonic()
    found = [section.stored() for section in simulate(module, scale)]
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"), default=float)
    (STORE / f"{module}.json").write_text(text.replace('{"title"', '\n{"title"') + "\n", encoding="utf-8")
    return f"{module}: {time.monotonic() - start:.0f} s"


def stored(module: str) -> list[Section]:
    content = json.loads((STORE / f"{module}.json").read_text(encoding="utf-8"))
    return [Section.read(section) for section in content]


def before() -> Before:
    """What each rate was before the change that the page tells of."""
    files = sorted(STORE.glob("*.before.json"))
    return {name: pair for file in files for name, pair in json.loads(file.read_text("utf-8")).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="a tiny run, printed")
    parser.add_argument("--page", action="store_true", help="only write the page from what is stored")
    parser.add_argument("--jobs", type=int, default=2, help="modules at a time (default: 2)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the runs per cell (default: 1)")
    options = parser.parse_args()
    modules: Sequence[str] = options.modules or MODULES
    if unknown := {*modules} - {*MODULES}:
        parser.error(f"no module {', '.join(sorted(unknown))}: there are {', '.join(MODULES)}")
    if options.quick:
        print(page([section for module in modules for section in simulate(module, QUICK)], before()))
        return
    if not options.page:
        STORE.mkdir(exist_ok=True)
        with ProcessPoolExecutor(options.jobs) as pool:
            for line in pool.map(store, modules, [options.scale] * len(modules)):
                print(line, flush=True)
    text = page([section for module in MODULES for section in stored(module)], before())
    (PAGES / "statistics.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
