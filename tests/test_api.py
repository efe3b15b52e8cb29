"""The Python API: the same nouns, nothing heavy at import."""

import subprocess
import sys
from pathlib import Path

from painted import COLOURS, paint

import vitbench
from vitbench.records import Benchmark


def test_import_is_light_and_every_name_is_there() -> None:
    """`import vitbench` loads no torch; each exported name exists."""
    code = "import sys, vitbench; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(hasattr(vitbench, name) for name in vitbench.__all__)


def test_dir_lists_the_public_names_without_torch() -> None:
    """For completion in a notebook."""
    code = "import sys, vitbench; print(dir(vitbench) == sorted(vitbench.__all__), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_compare_and_predict_from_python(two_models: Benchmark, tmp_path: Path) -> None:
    """A benchmark's comparison and its answers on a new picture, without the command line."""
    comparison = vitbench.compare(two_models)
    assert len([row.model for row in comparison.rows if row.top1 is not None]) >= 2
    paint(tmp_path / "one.png", COLOURS["blue"], 77)
    (answer,) = vitbench.predict(tmp_path / "one.png", run=two_models, top_k=2)
    assert set(answer.predictions) == {run.name for run in two_models.runs}
    assert all(len(pairs) == 2 for pairs in answer.predictions.values())
