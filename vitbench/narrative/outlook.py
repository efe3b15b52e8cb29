"""What would change an answer, as sentences."""

from vitbench.comparison.nouns import Outlook, Remedy
from vitbench.narrative.words import in_points, least_points, pictures
from vitbench.records import counted, percent


def outlook_text(outlook: Outlook) -> str:
    """Who leads by how much, and how much would have shown between these two."""
    a, b = outlook.model_a, outlook.model_b
    if outlook.apart:
        return (
            f"{a} is shown to be better than {b}: what follows would only tell more exactly by how much, or "
            "show smaller leads of others."
        )
    leads = (
        f"{a} leads {b} by {_lead(outlook.difference)}" if outlook.difference else f"{a} and {b} are level"
    )
    others = (
        f", whatever the other {counted(outlook.pairs - 1, 'pair')} of models show"
        if outlook.pairs > 1
        else ""
    )
    if outlook.gap is None:
        return f"{leads}; on {pictures(outlook.n)} no lead between these two could have shown{others}."
    return (
        f"{leads}; as often as these two disagree, a lead of {_points(outlook.gap)} would have shown{others}."
    )


def remedy_title(remedy: Remedy) -> str:
    """What one would do."""
    if remedy.kind == "pictures":
        return "twice the test pictures"
    if remedy.kind == "folds":
        return f"{remedy.number} folds" if remedy.number else "folds"
    return "more trainings" if remedy.obstacle == "no luck" else f"{remedy.number} trainings of each model"


def remedy_means(remedy: Remedy, outlook: Outlook) -> str:
    """How one would do it; "" where it cannot be done."""
    if remedy.kind == "pictures":
        return f"{remedy.number} instead of {outlook.n}"
    if remedy.kind == "folds":
        return f"--folds {remedy.number}, all {remedy.n} tested" if remedy.number else ""
    seeds = ",".join(map(str, range(remedy.number)))
    return "" if remedy.obstacle == "no luck" else f"--seeds {seeds}"


OBSTACLES = {
    "one training": "not known before it is tried: one training does not tell how much of it was luck",
    "no luck": "would not help: a probe is fitted, it comes out the same each time",
    "folds already": "would not help: every picture is tested already",
    "own test part": "not with a test part of your own",
    "small classes": "not with so few pictures in a class",
}
NO_HELP = {
    "pictures": "would not help: luck of training outweighs what pictures add",
    "folds": "would not help: models that share training pictures tell less than the pictures add",
    "seeds": "would not help: what varies from picture to picture outweighs luck of training",
}


def remedy_outcome(remedy: Remedy, outlook: Outlook) -> str:
    """What would come of it."""
    if remedy.obstacle:
        return OBSTACLES[remedy.obstacle]
    if not remedy.helps:
        return NO_HELP[remedy.kind]
    if outlook.apart or not outlook.difference:
        return "would help"
    enough = remedy.gap is not None and remedy.gap <= outlook.difference
    return f"would {'' if enough else 'help, but not '}show the {_lead(outlook.difference)} found here" + (
        ", if they are real" if enough else ""
    )


def minutes_text(minutes: float | None) -> str:
    """ "12", "0.5", "under 0.1"; "" where not known."""
    if minutes is None:
        return ""
    if minutes < 0.1:
        return "under 0.1"
    return f"{minutes:.1f}" if minutes < 10 else f"{minutes:.0f}"


def _lead(fraction: float) -> str:
    """A lead that was measured."""
    return in_points(percent(fraction, 1 if fraction < 0.1 else 0))


def _points(fraction: float) -> str:
    return in_points(least_points(fraction))
