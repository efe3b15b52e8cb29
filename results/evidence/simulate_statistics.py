"""How often vitbench's intervals cover the truth and its verdicts are false: writes statistics.md beside it.

    python results/evidence/simulate_statistics.py           # about ten minutes on one core
    python results/evidence/simulate_statistics.py --quick   # a tiny run, to standard output

Made-up models answer made-up pictures of which the truth is known; the product's own functions judge them.
Not called statistics.py, because a script's folder comes first on the path and that name is Python's own.
"""

import argparse
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import binom
from simulated_page import SEED, Rate, Section, page
from simulated_scores import grouped_scores, one_run_scores, seed_scores
from simulated_worlds import World, grid, unequal

from vitbench.comparison.power import pictures_needed, power, seeds_pictures_needed
from vitbench.comparison.statistics import (
    ALPHA,
    accuracy_interval,
    holm,
    mcnemar,
    newcombe_paired,
    paired_difference,
    pooled_seeds,
    seeds_accuracy,
    seeds_difference,
)
from vitbench.inference.metrics import wilson
from vitbench.records import Array

cached_mcnemar = lru_cache(maxsize=None)(mcnemar)
cached_newcombe = lru_cache(maxsize=None)(newcombe_paired)


# --- one run per model ------------------------------------------------------------------------------


def plain_accuracy() -> Section:
    rate = Rate("Wilson, accuracy of one run", 0)
    for n in (10, 30, 60, 100, 200, 500):
        limits = np.array([wilson(k, n) for k in range(n + 1)])
        for p in (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995):
            chance = binom.pmf(np.arange(n + 1), n, p)
            inside = (limits[:, 0] <= p) & (p <= limits[:, 1])
            width = float(chance @ (limits[:, 1] - limits[:, 0]))
            rate.add({"pictures": n, "accuracy": p}, float(chance @ inside), width)
    words = (
        "Nothing is drawn here: for every test set size and true accuracy the chances of all possible counts "
        "are summed. Coverage of any interval from whole counts jumps with n and p; judge the mean."
    )
    return Section("Accuracy of one run", words, [rate])


def counts_of(a: Array, b: Array) -> tuple[int, int, int, int]:
    both = int(np.count_nonzero(a & b))
    n_a, n_b = int(np.count_nonzero(a)), int(np.count_nonzero(b))
    return both, n_a - both, n_b - both, a.size - n_a - n_b + both


def plain_difference(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("Newcombe, difference of two runs", runs)
    cells = grid(pictures=(30, 60, 200, 500), accuracy=(0.7, 0.85, 0.95), gap=(0.0, 0.05), agree=(0.3, 0.8))
    for cell in cells:
        p, gap, agree = cell["accuracy"], cell["gap"], cell["agree"]
        limits = [
            cached_newcombe(*counts_of(a[0], b[0]))
            for a, b in World(cell["pictures"], shared=(agree, 0)).right(rng, runs, (p, p - gap))
        ]
        rate.add_intervals(cell, np.array(limits), gap)
    words = (
        "Two fixed models answer new random test sets. `agree` is the share of variance in being right that "
        "they have in common."
    )
    return Section("Difference of two runs", words, [rate])


def families(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("exact McNemar and Holm, fixed models of equal accuracy", runs)
    for cell in grid(models=(2, 3, 6), pictures=(30, 60, 200, 1000), accuracy=(0.7, 0.85, 0.95)):
        world = World(cell["pictures"], shared=(0.6, 0))
        false = 0
        for right in world.right(rng, runs, [cell["accuracy"]] * cell["models"]):
            pairs = combinations(right[:, 0], 2)
            p_values = [cached_mcnemar(*counts_of(a, b)[1:3]) for a, b in pairs]
            false += min(holm(p_values)) <= ALPHA
        rate.add(cell, false / runs)
    words = (
        "Null (a): two, three or six fixed models that are equally accurate over all pictures there could "
        "be, each with its own mistakes, answer new random test sets. Counted is a table with at least one "
        '"better" after Holm: each is false. The exact test is careful on small test sets, so the share lies '
        "below 5 %."
    )
    return Section('False "better": fixed models', words, [rate], coverage=False)


# --- groups -----------------------------------------------------------------------------------------


def grouped(rng: np.random.Generator, runs: int) -> list[Section]:
    accuracy = Rate("accuracy of one run, groups", runs)
    accuracy_plain = Rate("plain Wilson on the same", runs)
    difference = Rate("difference of two runs, groups", runs)
    difference_plain = Rate("plain Newcombe on the same", runs)
    flips = Rate("sign flips over groups", runs)
    plain = Rate("plain McNemar on the same", runs)
    sizes = ("2", "5", "10", "1 to 11")
    for cell in grid(
        groups=(10, 20, 40, 100), size=sizes, alike=(0.0, 0.3, 0.7, 1.0), accuracy=(0.7, 0.85, 0.95)
    ):
        groups = unequal(cell["groups"], cell["size"])
        world = World(len(groups), groups=groups, alike=cell["alike"], shared=(0.6, 0))
        p = cell["accuracy"]
        for gap in (0.0, 0.05):
            drawn = [(a[0], b[0]) for a, b in world.right(rng, runs // 2, (p, p - gap))]
            whole = [paired_difference(a, b, groups) for a, b in drawn]
            alone = [paired_difference(a, b) for a, b in drawn]
            at = {**cell, "gap": gap}
            difference.add_intervals(at, np.array([(d.low, d.high) for d in whole]), gap)
            difference_plain.add_intervals(at, np.array([(d.low, d.high) for d in alone]), gap)
            if gap == 0:
                flips.add(cell, np.mean([d.p <= ALPHA for d in whole]))
                plain.add(cell, np.mean([d.p <= ALPHA for d in alone]))
                accuracy.add_intervals(cell, np.array([accuracy_interval(a, groups) for a, _ in drawn]), p)
                accuracy_plain.add_intervals(cell, np.array([accuracy_interval(a) for a, _ in drawn]), p)
    for rate in (accuracy, accuracy_plain, difference, difference_plain, flips, plain):
        rate.runs = runs // 2
    world_words = (
        "Pictures come in groups (bursts, copies). `alike` is the correlation within a group of what decides "
        "right or wrong: 0 none, 1 copies."
    )
    return [
        Section(
            "Test pictures in groups",
            world_words + " What would happen if groups were ignored stands beside it.",
            [accuracy, difference, accuracy_plain, difference_plain],
            judged=2,
        ),
        Section(
            'False "better": test pictures in groups',
            world_words + " Both models are equally accurate; counted is p ≤ .05 for the one pair.",
            [flips, plain],
            coverage=False,
            judged=1,
        ),
    ]


# --- several seeds ----------------------------------------------------------------------------------


def seeds(rng: np.random.Generator, runs: int) -> Section:
    accuracy = Rate("accuracy over images × seeds", runs)
    difference = Rate("difference over images × seeds", runs)
    for cell in grid(
        seeds=(2, 3, 5), pictures=(30, 60, 150, 500), accuracy=(0.7, 0.85, 0.95), seed_sd=(0.0, 0.1, 0.3)
    ):
        world, p = World(cell["pictures"], cell["seeds"], cell["seed_sd"]), cell["accuracy"]
        drawn = list(world.right(rng, runs, (p, p - 0.05)))
        accuracy.add_intervals(cell, np.array([seeds_accuracy(a) for a, _ in drawn]), p)
        found = [seeds_difference(a, b) for a, b in drawn]
        difference.add_intervals(cell, np.array([(d.low, d.high) for d in found]), 0.05)
    words = (
        "New pictures and new seeds in every run; the truth is the mean accuracy over all of both. `seed_sd` "
        "is the spread of the seeds' skill in probits: .1 is a standard deviation of 2 to 3 points of "
        "accuracy at 85 %, .3 of 7. The true gap is 5 points. Two seeds tell little of how seeds vary, and "
        "it shows there."
    )
    return Section("Several seeds", words, [accuracy, difference])


def seeds_in_groups(rng: np.random.Generator, runs: int) -> Section:
    accuracy = Rate("accuracy over images × seeds, groups", runs)
    difference = Rate("difference over images × seeds, groups", runs)
    for cell in grid(groups=(10, 20, 40), size=("5", "1 to 11"), alike=(0.0, 0.5, 1.0), accuracy=(0.7, 0.9)):
        groups, p = unequal(cell["groups"], cell["size"]), cell["accuracy"]
        world = World(len(groups), 3, 0.1, groups, cell["alike"])
        drawn = list(world.right(rng, runs, (p, p - 0.05)))
        accuracy.add_intervals(cell, np.array([seeds_accuracy(a, groups) for a, _ in drawn]), p)
        found = [seeds_difference(a, b, groups) for a, b in drawn]
        difference.add_intervals(cell, np.array([(d.low, d.high) for d in found]), 0.05)
    words = "Three seeds (spread .1 probits), pictures in groups as above."
    return Section("Several seeds, pictures in groups", words, [accuracy, difference])


def same_recipe(rng: np.random.Generator, runs: int) -> Section:
    several = Rate("t over images × seeds and Holm, one recipe", runs)
    own = Rate("the same, each pair by its own seeds alone", runs)
    single = Rate("k = 1: exact McNemar and Holm, one recipe", runs)
    for cell in grid(models=(2, 3, 6), seeds=(2, 3, 5), pictures=(60, 200, 500), seed_sd=(0.0, 0.1, 0.3)):
        world = World(cell["pictures"], cell["seeds"], cell["seed_sd"], shared=(0.7, 0))
        false = unpooled = false_single = 0
        for right in world.right(rng, runs, [0.85] * cell["models"]):
            pairs = list(combinations(right, 2))
            pooled = pooled_seeds(right)
            false += min(holm([seeds_difference(a, b, pooled=pooled).p for a, b in pairs])) <= ALPHA
            unpooled += min(holm([seeds_difference(a, b).p for a, b in pairs])) <= ALPHA
            if cell["seeds"] == 2:
                one = [cached_mcnemar(*counts_of(a[0], b[0])[1:3]) for a, b in pairs]
                false_single += min(holm(one)) <= ALPHA
        several.add(cell, false / runs)
        own.add(cell, unpooled / runs)
        if cell["seeds"] == 2:
            single.add({k: v for k, v in cell.items() if k != "seeds"}, false_single / runs)
    words = (
        'Null (b): the "models" are one recipe (85 % accurate on average) trained with other seeds, k of '
        'them each. Counted is a table with at least one "better" after Holm. Where models have two seeds '
        "and the table has three models or more, the seeds' variance is pooled over all of them if that is "
        "more than a pair's own: without it (last row) two seeds that agree by luck alone make up to a "
        "fifth of the tables of six models false. A table of just two models with two seeds each stays a "
        "little above 5 % where seeds vary much, and so do six models with three: more seeds help. "
        "With k = 1, one run per model, no test can know how much a seed changes: McNemar then rightly says "
        "that two *networks* differ, and wrongly reads as if the *recipes* did, the more often the more "
        'pictures there are. That row has no target; it is why the table says "one run each: seed variation '
        'not included".'
    )
    return Section('False "better": one recipe, other seeds', words, [several, single, own], False, 1)


# --- power ------------------------------------------------------------------------------------------


def promised_power(rng: np.random.Generator, runs: int) -> Section:
    drawn = Rate("exact McNemar at the promised number of pictures", runs)
    computed = Rate("`power` there", 0)
    for cell in grid(gap=(0.03, 0.05, 0.1, 0.2), discordance=(0.1, 0.2, 0.4), pairs=(1, 3, 15)):
        gap, psi, pairs = cell["gap"], max(cell["discordance"], cell["gap"]), cell["pairs"]
        n = pictures_needed(gap, psi, pairs)
        assert n is not None
        table = rng.multinomial(n, [(psi + gap) / 2, (psi - gap) / 2, 1 - psi], size=runs)
        found = [cached_mcnemar(int(a), int(b)) <= ALPHA / pairs for a, b, _ in table]
        drawn.add({**cell, "pictures": n}, np.mean(found))
        computed.add({**cell, "pictures": n}, power(n, gap, psi, pairs))
    words = (
        "`pictures_needed` names a test set size; two models with just that gap and discordance (share of "
        "pictures that only one gets right) answer test sets of that size. Counted is p ≤ .05 / pairs; it "
        "should be 80 %, a little more where few pictures suffice."
    )
    return Section("Power at the number of pictures that is named", words, [drawn, computed], False, 0)


def promised_power_of_seeds(rng: np.random.Generator, runs: int) -> Section:
    rate = Rate("t over images × seeds at the number named by a first benchmark", runs)
    named = Rate("(share of first benchmarks that name a number)", runs)
    for cell in grid(seeds=(3, 5), gap=(0.05, 0.1), seed_sd=(0.0, 0.05)):
        k, gap, seed_sd = cell["seeds"], cell["gap"], cell["seed_sd"]
        accuracies = (0.85, 0.85 - gap)
        firsts = World(200, k, seed_sd).right(rng, runs, accuracies)
        sizes = [seeds_pictures_needed(a, b, gap) for a, b in firsts]
        usable = [n for n in sizes if n is not None]
        named.add(cell, len(usable) / runs)
        if usable:
            n = int(np.median(usable))
            later = World(n, k, seed_sd).right(rng, runs, accuracies)
            rate.add({**cell, "pictures": n}, np.mean([seeds_difference(a, b).p <= ALPHA for a, b in later]))
    words = (
        "First benchmarks of 200 pictures name how many would show the gap; new ones have the median of "
        "those numbers. Such a plan is rough, because three seeds tell their own variance badly: the power "
        "is 65 to 90 % rather than 80, and where seeds vary by .05 probits (1 point) most first benchmarks "
        "with three seeds say that only more seeds can show 5 points. No target."
    )
    return Section(
        "Power at the number of pictures that is named: several seeds", words, [rate, named], False, 0
    )


def simulate(scale: float) -> list[Section]:
    """All sections; scale 1: the runs per cell of the page."""

    def runs(full: int) -> int:
        return max(4, round(full * scale))

    def rng(stream: int) -> np.random.Generator:
        return np.random.default_rng([SEED, stream])

    return [
        plain_accuracy(),
        plain_difference(rng(1), runs(4000)),
        *grouped(rng(2), runs(1200)),
        seeds(rng(3), runs(2000)),
        seeds_in_groups(rng(4), runs(2000)),
        one_run_scores(rng(5), runs(1000)),
        seed_scores(rng(6), runs(1000)),
        grouped_scores(rng(7), runs(1000)),
        families(rng(8), runs(2000)),
        same_recipe(rng(9), runs(1000)),
        promised_power(rng(10), runs(10_000)),
        promised_power_of_seeds(rng(11), runs(1000)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tiny run, printed")
    quick = parser.parse_args().quick
    text = page(simulate(0.002 if quick else 1.0))
    if quick:
        print(text)
    else:
        Path(__file__).with_name("statistics.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
