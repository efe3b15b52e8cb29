"""What a sweep found, in sentences: what more photos are worth, who needs fewest, who is ahead."""

from typing import TYPE_CHECKING, Any

from vitbench.comparison.statistics import ALPHA
from vitbench.narrative.words import MOST_NAMED, listed, p_text
from vitbench.records import percent
from vitbench.records.frames import rows_of_frame

if TYPE_CHECKING:
    from vitbench.analysis.sweep import Sweep

ALIKE = 0.02
"""Groups and pictures per class differ by less than this part: then groups are photos."""


def answer(found: "Sweep") -> list[str]:
    """The first line is the answer; each line stands by itself."""
    lines = [_gains(found), _reach(found), _ahead(found), _next(found), _draws(found)]
    return [line for line in lines if line]


def noun(found: "Sweep") -> str:
    """What is counted per class: photos, or groups where some of those hold several."""
    groups, pictures = found.curve["groups"], found.curve["pictures"]
    return "photos" if ((pictures / groups - 1).abs() < ALIKE).all() else "groups of photos"


def points(value: float) -> str:
    """A difference of accuracies in percentage points, one decimal: "+3.1"."""
    return f"{100 * value:+.1f}".replace("-", "−")


def interval(low: float, high: float) -> str:
    """ "[+1.2, +5.0]", in points."""
    return f"[{points(low)}, {points(high)}]"


def count(value: float) -> str:
    """Groups or pictures: whole from 3 on."""
    return f"{value:.0f}" if value >= 3 else f"{value:.2g}"


def order(found: "Sweep") -> list[str]:
    """Models by the accuracy at their largest size, the best first."""
    last = found.curve.drop_duplicates("model", keep="last")
    return [str(name) for name in last.sort_values("top1", ascending=False, kind="stable")["model"]]


def _named(found: "Sweep") -> list[str]:
    return order(found)[:MOST_NAMED]


def _gains(found: "Sweep") -> str:
    """By what was drawn: models of one step together."""
    last = {row["model"]: row for row in rows_of_frame(found.gains) if row["last"]}
    steps: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name in _named(found):
        if row := last.get(name):
            steps.setdefault((row["shots"], row["more_shots"]), []).append(row)
    sizes = {(row["model"], row["shots"]): row["pictures"] for row in rows_of_frame(found.curve)}
    parts = []
    for (before, after), some in steps.items():
        first = some[0]
        start, end = (count(sizes[first["model"], size]) for size in (before, after))
        worth = listed(
            [
                f"{points(row['gain'])} points {interval(row['low'], row['high'])} to {row['model']}"
                for row in some
            ]
        )
        times = "" if 1.8 <= first["times"] <= 2.2 else f", {first['times']:.1f} times as many"
        more = count(first["more_pictures"])
        parts.append(f"{more} more photos per class ({start} → {end}{times}) are worth {worth}")
    text = "; ".join(parts)
    return f"{text}." if text else _single(found)


def _single(found: "Sweep") -> str:
    """Where one size alone was asked for."""
    best = order(found)[0]
    row = next(row for row in rows_of_frame(found.curve) if row["model"] == best)
    return f"{best} is at {percent(row['top1'])} % with {count(row['pictures'])} photos per class."


def _reach(found: "Sweep") -> str:
    by_model = {row["model"]: row for row in rows_of_frame(found.reach)}
    what, aim = noun(found), f"{100 * found.target:g} %"
    some = [by_model[name] for name in _named(found)]
    there = sorted((row for row in some if row["groups"] is not None), key=lambda row: float(row["groups"]))
    never = [row["model"] for row in some if row["groups"] is None]
    if not there:
        return f"No model is at {aim} within twice the {what} that were tried."
    parts = [f"{there[0]['model']} needs {_needed(there[0])} {what} per class"]
    for row in there[1:]:
        times = f"{row['times_first']:.1f} times as many"
        ends = ""
        if row["times_low"] is not None:
            high = "?" if row["times_high"] is None else f"{row['times_high']:.1f}"
            ends = f" [{row['times_low']:.1f}, {high}]"
        parts.append(f"{row['model']} {_needed(row)}, {times}{ends}")
    if never:
        parts.append(
            f"{listed(never)} {'is' if len(never) == 1 else 'are'} not there with twice as many as tried"
        )
    return f"For {aim}, {'; '.join(parts)}."


def _needed(row: dict[str, Any]) -> str:
    if row["least"]:
        return f"at most {count(row['groups'])}"
    low = "?" if row["low"] is None else count(row["low"])
    high = "more than twice what was tried" if row["high"] is None else count(row["high"])
    said = f"about {count(row['groups'])} [{low}, {high}]"
    return f"{said} (extrapolated)" if row["extrapolated"] else said


def _ahead(found: "Sweep") -> str:
    """The two best, at the largest size that both have, and at which sizes they cannot be told apart."""
    best = order(found)[:2]
    pairs = [row for row in rows_of_frame(found.pairs) if {row["model_a"], row["model_b"]} == set(best)]
    if not pairs:
        return ""
    last, family = pairs[-1], len(found.pairs)
    same = [row["shots"] for row in pairs if row["p_adjusted"] > ALPHA]
    corrected = f", corrected for {family} comparisons" if family > 1 else ""
    said = f"{interval(last['low'], last['high'])} ({p_text(last['p_adjusted'])}{corrected})"
    at = "with all photos" if last["shots"] == "all" else f"at {last['shots']} per class"
    if last["p_adjusted"] <= ALPHA:
        by = points(last["difference"])[1:]
        text = f"{last['model_a']} is ahead of {last['model_b']} {at} by {by} points {said}"
    else:
        text = (
            f"{best[0]} and {best[1]} cannot be told apart {at}: {points(last['difference'])} points {said}"
        )
    others = [size for size in same if size != last["shots"]]
    if len(same) == len(pairs) > 1:
        return f"{text}, nor at any other size."
    return f"{text}; not told apart at {listed(others)} per class." if others else f"{text}."


def _next(found: "Sweep") -> str:
    by_model = {row["model"]: row for row in rows_of_frame(found.next)}
    some = [by_model[name] for name in _named(found) if name in by_model]
    if not some:
        return ""
    each = listed(
        [
            f"{row['model']} to {percent(row['top1'])} % [{percent(row['low'])}, {percent(row['high'])}]"
            for row in some
        ]
    )
    missed = [f"{row['model']} {points(row['missed'])}" for row in some if row["missed"] is not None]
    behind = (
        f" Asked one doubling earlier, the same rule missed by: {', '.join(missed)} points." if missed else ""
    )
    return (
        "Extrapolated, by one doubling and no further: twice as many "
        f"({count(some[0]['groups'])} per class) would bring {each}.{behind}"
    )


def _draws(found: "Sweep") -> str:
    """How far a draw alone moves the best model."""
    best = order(found)[0]
    some = [row for row in rows_of_frame(found.curve) if row["model"] == best and row["sd_draws"] is not None]
    if not some:
        return "One draw per size: how much other photos would change is in none of these numbers."
    first, last = some[0], some[-1]
    moved = f"{100 * first['sd_draws']:.1f} points at {first['shots']} per class"
    text = f"Which photos are drawn moves {best} by {moved}"
    if last is not first:
        text += f", by {100 * last['sd_draws']:.1f} at {last['shots']}"
    return f"{text} (standard deviation of {first['draws']} draws)."
