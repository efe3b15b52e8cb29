"""vitbench: which vision transformer is best on my pictures, and how sure can I be?

The command line and this API speak the same nouns:

    import vitbench

    benchmark = vitbench.train("photos", models=("vit", "swin"), epochs=10)
    comparison = vitbench.compare(benchmark)
    print(vitbench.narrate(comparison).answer)
    comparison.frame.plot.barh("model", "top1")
    for answer in vitbench.predict("new photos/", run=benchmark):
        print(answer.path, answer.predictions)

Names are imported when they are first used: `import vitbench` itself loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitbench.analysis.cost import cost
    from vitbench.analysis.inspect import Inspection
    from vitbench.analysis.stress import Stress
    from vitbench.analysis.sweep import Sweep
    from vitbench.benchmark.compare import compare
    from vitbench.benchmark.export import export
    from vitbench.benchmark.inspect import inspect
    from vitbench.benchmark.predict import predict
    from vitbench.benchmark.stress import stress
    from vitbench.benchmark.suspects import suspects
    from vitbench.benchmark.sweep import sweep
    from vitbench.benchmark.train import pretrain, probe, train
    from vitbench.benchmark.transfer import transfer
    from vitbench.comparison.nouns import Comparison
    from vitbench.data.public.fetch import Fetched, fetch
    from vitbench.errors import VitbenchError
    from vitbench.narrative.narrate import Narrative, narrate
    from vitbench.records import Answer, Benchmark, Predictions, Recipe, Run, Settings
    from vitbench.records.exports import Export

__all__ = [
    "Answer",
    "Benchmark",
    "Comparison",
    "Export",
    "Fetched",
    "Inspection",
    "Narrative",
    "Predictions",
    "Recipe",
    "Run",
    "Settings",
    "Stress",
    "Sweep",
    "VitbenchError",
    "compare",
    "cost",
    "export",
    "fetch",
    "inspect",
    "narrate",
    "predict",
    "pretrain",
    "probe",
    "stress",
    "suspects",
    "sweep",
    "train",
    "transfer",
]

_HOME = {
    "Comparison": "vitbench.comparison.nouns",
    "Export": "vitbench.records.exports",
    "Fetched": "vitbench.data.public.fetch",
    "Inspection": "vitbench.analysis.inspect",
    "Narrative": "vitbench.narrative.narrate",
    "Stress": "vitbench.analysis.stress",
    "Sweep": "vitbench.analysis.sweep",
    "VitbenchError": "vitbench.errors",
    "compare": "vitbench.benchmark.compare",
    "cost": "vitbench.analysis.cost",
    "export": "vitbench.benchmark.export",
    "fetch": "vitbench.data.public.fetch",
    "inspect": "vitbench.benchmark.inspect",
    "narrate": "vitbench.narrative.narrate",
    "predict": "vitbench.benchmark.predict",
    "pretrain": "vitbench.benchmark.train",
    "probe": "vitbench.benchmark.train",
    "stress": "vitbench.benchmark.stress",
    "suspects": "vitbench.benchmark.suspects",
    "sweep": "vitbench.benchmark.sweep",
    "train": "vitbench.benchmark.train",
    "transfer": "vitbench.benchmark.transfer",
}


def __dir__() -> list[str]:
    """The public names, whether or not they are imported yet."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'vitbench' has no attribute {name!r}")
    return getattr(import_module(_HOME.get(name, "vitbench.records")), name)
