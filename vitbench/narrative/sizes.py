"""Which size of pictures: accuracy and time as measured, of models that were trained at several sizes.

Nothing is said of the accuracy at sizes that were not trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.comparison.measured import Pair, Row
from vitbench.comparison.nouns import Comparison
from vitbench.narrative.words import amount, in_points, listed, measured, pictures, points, share


@dataclass(frozen=True)
class Price:
    """What one size costs against another one."""

    field: str
    unit: str

    def text(self, row: Row) -> str:
        """ "30 ms a picture", "4.49 GMACs"."""
        value = getattr(row, self.field)
        return f"{measured(value) if self.field == 'latency_ms_p50' else amount(value)} {self.unit}"

    def times(self, dear: Row, cheap: Row) -> str:
        """ "3.3 times"."""
        return f"{getattr(dear, self.field) / getattr(cheap, self.field):.1f} times"


TIME = Price("latency_ms_p50", "ms a picture")
WORK = Price("gmacs", "GMACs")
"""Where times are of several machines, or were not measured."""


def which_size(comparison: Comparison) -> str:
    """A paragraph of advice; "" where no model says its size.

    Of each model the cheapest size is advised than which none is shown to be better (the pairs' tests).
    """
    sized = [row for row in comparison.tested if row.image_size]
    if not sized:
        return ""
    models: dict[tuple[str, str, bool], list[Row]] = {}
    for row in sized:
        models.setdefault((row.of or row.model, row.arm, row.recipe == "probe"), []).append(row)
    several = [rows for rows in models.values() if len({row.image_size for row in rows}) > 1]
    if several:
        return " ".join(["Which size?", *(_advice(rows, comparison) for rows in several)])
    sizes = sorted({row.image_size for row in sized if row.image_size})
    return (
        f"Which size? Accuracy was measured at {listed(list(map(str, sizes)))} px, of no model at two sizes: "
        "what another one would bring is not known before it is trained (--image-size, under a --name of its "
        "own; `vitbench compare` takes both)."
    )


def affordable(model: str, limit: str, size: float | None, value: float | None) -> str:
    """The largest size within a limit of `vitbench cost` ("latency_ms 100"), and what it needs there."""
    what, _, most = limit.partition(" ")
    unit = "ms" if what == "latency_ms" else "MB"
    if size is None or value is None:
        return f"{model}: not even the smallest size stays within {most} {unit}."
    return f"{model}: up to {size:.0f} px within {most} {unit} ({value:.3g} {unit} there)."


def _advice(rows: Sequence[Row], comparison: Comparison) -> str:
    """Of one model at several sizes."""
    price = _price(rows)
    if price is None:
        return f"{_model(rows[0])}: its cost was not measured at each size."
    rows = sorted(rows, key=lambda row: (getattr(row, price.field), -(row.top1 or 0)))
    enough = next(row for row in rows if not _better(row, rows, comparison.pairs))
    best = max(rows, key=lambda row: row.top1 or 0)
    told = f"{_model(enough)}: {enough.image_size} px ({_score(enough)} in {price.text(enough)})"
    others = [row for row in rows if row is not enough]
    if best is enough:
        beaten = [row for row in others if _better(row, [best], comparison.pairs)]
        shown = f", shown to be better than {_sizes(beaten)}" if beaten else ""
        return f"{told}; no more right at {_sizes(others)}{shown}."
    gain = next((p for p in comparison.pairs if p.names == {best.model, enough.model}), None)
    if gain is None:
        return f"{told} or {best.image_size} px ({_score(best)} in {price.text(best)}): not compared."
    value, low, high = (points(part, gain.n) for part in gain.gain_of(best.model))
    return (
        f"{told}: {best.image_size} px costs {price.times(best, enough)} that for {in_points(value)} "
        f"[{low}, {high}], which {pictures(gain.n)} cannot tell from none."
    )


def _price(rows: Sequence[Row]) -> Price | None:
    """Time on one machine, else multiply-adds; None where neither was measured of all."""
    if len({row.device for row in rows}) == 1 and all(row.latency_ms_p50 for row in rows):
        return TIME
    return WORK if all(row.gmacs for row in rows) else None


def _better(row: Row, rows: Sequence[Row], pairs: Sequence[Pair]) -> bool:
    """Another size of the same model is shown to be better."""
    names = {other.model for other in rows}
    return any(p.distinguishable and p.model_b == row.model and p.model_a in names for p in pairs)


def _score(row: Row) -> str:
    return share(row.metrics["top1"], row.n_test)


def _sizes(rows: Sequence[Row]) -> str:
    return f"{listed([str(size) for size in sorted(row.image_size or 0 for row in rows)])} px"


def _model(row: Row) -> str:
    """As trained, for a row of several benchmarks has the benchmark's name before it."""
    named = row.of or row.model
    return f"{row.arm}-{named}" if row.arm else named
