"""Simulated tables in which the claim of a piece of advice is false: how many of them are given it."""

import numpy as np
from simulated_page import Part, Rate, Section
from simulated_worlds import cached_mcnemar, cached_newcombe, class_sizes, grid

from vitbench.comparison.close_up import BEHIND
from vitbench.comparison.evidence import behind, chance_p, mixed_up, most_right, surely_under
from vitbench.comparison.power import safely_planned
from vitbench.comparison.statistics import ALPHA
from vitbench.narrative.advice import GAP, OVERFIT
from vitbench.records import Array


def answers_of(
    rng: np.random.Generator, labels: Array, n_classes: int, accuracy: float, drawn: float
) -> Array:
    """(n,) answers: right with one chance in every class; `drawn` of the wrong ones name class 0."""
    wrong = (labels + rng.integers(1, n_classes, len(labels))) % n_classes
    wrong = np.where((rng.random(len(labels)) < drawn) & (labels > 0), 0, wrong)
    return np.where(rng.random(len(labels)) < accuracy, labels, wrong)


def classes_alike(rng: np.random.Generator, runs: int) -> Section:
    worst = Rate('"look at class X", all classes equally hard', runs)
    mixed = Rate('"mistakes are between X and Y", no two classes more alike', runs)
    for cell in grid(
        classes=(3, 5, 20), pictures=(30, 100, 300, 1000), accuracy=(0.5, 0.7, 0.9, 0.98), drawn=(0.0, 0.5)
    ):
        c = cell["classes"]
        labels = np.repeat(np.arange(c), class_sizes(cell["pictures"], c, cell["drawn"] == 0))
        said = [answers_of(rng, labels, c, cell["accuracy"], cell["drawn"]) for _ in range(runs)]
        worst.add(cell, np.mean([behind(labels, one, c, BEHIND) is not None for one in said]))
        mixed.add(cell, np.mean([mixed_up(labels, one, c) is not None for one in said]))
    words = (
        "Every picture has the same chance of being answered rightly. `drawn` 0: classes of equal size, "
        "wrong answers fall on the others alike; 0.5: sizes as 1, ½, ⅓, …, and half of the wrong answers "
        "name the first class."
    )
    return Section("Advice on classes", words, [worst, mixed], False, every_cell=True)


def learned_by_heart(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate('"right in training against … on test", 15 points apart in truth', runs)
    for cell in grid(train=(1.0, 0.95, 0.7), pictures=(1, 2, 5, 20, 60, 200, 1000)):
        n, train = cell["pictures"], cell["train"]
        right = rng.binomial(n, train - OVERFIT, runs)
        rate.add(cell, np.mean([train - most_right(int(k), n) >= OVERFIT for k in right]))
    words = "Counted is the claim that the two accuracies lie more than 15 points apart, where it is just 15."
    return Section("Advice on pictures learned by heart", words, [rate], False, every_cell=True)


def nothing_learned(rng: np.random.Generator, runs: int) -> list[Section]:
    lucky = Rate("a model without skill that is not told of", runs)
    doubted = Rate("a model with 80 % balanced accuracy that is told of", runs)
    for cell in grid(share=(0.5, 0.8, 0.95), pictures=(2, 20, 60, 200), seeds=(1, 3)):
        n, k = cell["pictures"], cell["seeds"]
        labels = (np.arange(n) >= max(1, round(cell["share"] * n))).astype(int)
        none = [(rng.random((k, n)) > cell["share"]).astype(int) for _ in range(runs)]
        lucky.add(cell, np.mean([chance_p(labels, one) <= ALPHA for one in none]))
        if cell["share"] < 0.95 and n > 20:
            some = [np.where(rng.random((k, n)) < 0.8, labels, 1 - labels) for _ in range(runs)]
            doubted.add(cell, np.mean([chance_p(labels, one) > ALPHA for one in some]))
    words = (
        "Two classes, `share` of the pictures in the first. Without skill: the answers have that share too, "
        "and nothing to do with the pictures."
    )
    back = "With 80 % of each class right, which at 80 : 20 is no more than always saying the first class."
    return [
        Section("No proof of having learned anything", words, [lucky], False, every_cell=True),
        Section("No proof, although it has learned", back, [doubted], False),
    ]


def gain_over_a_probe(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate('"a gain under 5 points if any", where it is just 5', runs)
    for cell in grid(pictures=(60, 200, 500, 2000), discordance=(0.05, 0.1, 0.3)):
        n, psi = cell["pictures"], cell["discordance"]
        table = rng.multinomial(
            n, [(psi + GAP) / 2, (psi - GAP) / 2, (1 - psi) / 2, (1 - psi) / 2], size=runs
        )
        said = []
        for a, b, both, no in table.tolist():
            open_still = cached_mcnemar(a, b) > ALPHA
            said.append(open_still and surely_under((a - b) / n, cached_newcombe(both, a, b, no)[1], GAP))
        rate.add(cell, np.mean(said))
    words = "The best model gains 5 points over its own probe; `discordance`: only one of the two is right."
    return Section("Advice on a gain over the probe", words, [rate], False, every_cell=True)


def planned(rng: np.random.Generator, runs: int) -> Section:
    reached = Rate('power at the number in "… independent ones show one of 5 points"', runs)
    for cell in grid(pictures=(20, 60, 100), discordance=(0.1, 0.2, 0.4), pairs=(1, 3)):
        n, psi, pairs = cell["pictures"], cell["discordance"], cell["pairs"]
        found = []
        numbers = {int(k): safely_planned(GAP, int(k), n, pairs) for k in range(n + 1)}
        for disagreed in rng.binomial(n, psi, runs):
            needed = numbers[int(disagreed)]
            if needed is not None:
                a, b, _ = rng.multinomial(needed, [(psi + GAP) / 2, (psi - GAP) / 2, 1 - psi])
                found.append(cached_mcnemar(int(a), int(b)) <= ALPHA / pairs)
        reached.add(cell, np.mean(found))
    words = (
        "A first test part of `pictures` names a number, by how often its models disagree; a second one of "
        "that number is answered by two models that are 5 points apart. The planned power is 80 %."
    )
    return Section("Advice on more test pictures", words, [reached], limit=0.8)


PARTS = (
    Part(23, 400, classes_alike),
    Part(24, 10_000, learned_by_heart),
    Part(25, 400, nothing_learned),
    Part(26, 4000, gain_over_a_probe),
    Part(27, 4000, planned),
)
