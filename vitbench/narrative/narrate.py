"""A finished comparison in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.comparison.arms import arm_word, by_model
from vitbench.comparison.measured import Pair
from vitbench.comparison.nouns import Comparison
from vitbench.narrative.advice import leading_probes, steps
from vitbench.narrative.answer import answer
from vitbench.narrative.notes import cautions, notes_of
from vitbench.narrative.nouns import Step
from vitbench.narrative.outlook import outlook_text
from vitbench.narrative.resolution import detect_sentence, gap_sentence, plain_gap
from vitbench.narrative.sizes import which_size
from vitbench.narrative.verdicts import (
    arm_verdict,
    checked,
    distillation_text,
    loss_text,
    probe_verdict,
    verdict,
)


@dataclass(frozen=True, kw_only=True)
class Narrative:
    """What a comparison says, most important first; verdicts and notes have no full stop at their end."""

    answer: str
    """Which model is best, in plain words."""
    advice: str
    """What would help next, in one to three sentences led by their numbers; "" where no rule applies."""
    verdicts: tuple[str, ...]
    """One for each of `Comparison.pairs`."""
    probe_verdicts: tuple[str, ...]
    """One for each of `Comparison.probes`."""
    arm_verdicts: tuple[str, ...]
    """One for each of `Comparison.arms`."""
    loss: str
    """What log loss shows on the same pictures; "" without pairs."""
    gap: str
    """The smallest gap that this test set could have shown."""
    plain_gap: str
    """The same without the words of statistics."""
    detect: str
    """How many pictures a named difference would need; "" where none was named."""
    outlook: str
    """Which lead would have shown between the two models that the answer hangs on; "" without pairs."""
    sizes: str
    """Which size of pictures to take, by what was measured; "" where no model says its size."""
    distillation: tuple[str, ...]
    """What each distilled model took over from its teacher."""
    notes: tuple[str, ...]
    """What a reader must know to trust it, one line each, ranked."""
    cautions: tuple[str, ...]
    """Of these the first three that could change the answer, briefly."""
    steps: tuple[Step, ...]
    """What `advice` is made of."""
    leading_probes: tuple[str, ...]
    """Of probes of several models alone: up to three that lead, to be trained next; else ()."""


def narrate(comparison: Comparison) -> Narrative:
    """The sentences of a comparison: its numbers alone make them."""
    notes, found = notes_of(comparison), steps(comparison)
    return Narrative(
        answer=answer(comparison),
        advice=" ".join(f"{step.text}." for step in found),
        verdicts=tuple(checked(pair, verdict) for pair in comparison.pairs),
        probe_verdicts=tuple(probe_verdict_of(pair, comparison) for pair in comparison.probes),
        arm_verdicts=_of_arms(comparison.arms, comparison),
        loss=loss_text(comparison.pairs),
        gap=gap_sentence(comparison),
        plain_gap=plain_gap(comparison) if comparison.tested else "",
        detect=detect_sentence(comparison),
        outlook=outlook_text(comparison.outlook) if comparison.outlook else "",
        sizes=which_size(comparison),
        distillation=tuple(distillation_text(one) for one in comparison.distillation),
        notes=tuple(note.text for note in notes if note.text),
        cautions=cautions(notes),
        steps=found,
        leading_probes=leading_probes(comparison),
    )


def probe_verdict_of(pair: Pair, comparison: Comparison) -> str:
    """The sentence on a model and its own frozen probe."""
    probe_of = {row.model: row.probe_of for row in comparison.rows}
    tuned = probe_of[pair.model_a] or probe_of[pair.model_b]
    return checked(pair, lambda one: probe_verdict(one, tuned))


def _of_arms(pairs: Sequence[Pair], comparison: Comparison) -> tuple[str, ...]:
    groups = by_model([row for row in comparison.rows if row.tested])
    words = {model: {row.model: arm_word(row.arm) for row in rows} for model, rows in groups.items()}
    found = []
    for pair in pairs:
        model, arms = next((model, arms) for model, arms in words.items() if pair.names <= arms.keys())
        found.append(checked(pair, lambda one, model=model, arms=arms: arm_verdict(one, model, arms)))  # type: ignore[misc]
    return tuple(found)
