"""The made-up benchmarks are those of the comparison's tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "comparison"))
