"""How long the linear heads of a probe will take, from a small one that is fitted."""

import functools
import time

import numpy as np

from vitbench.inference.linear import fit_linear
from vitbench.records import Split

FITTED, CLASSES = 120, 10
"""Pictures, and classes at most, of the head that is timed."""
APART = 0.2
"""How far the classes of its made-up features lie apart in each, in standard deviations."""


def heads_seconds(split: Split, width: int) -> float:
    """Seconds for the heads of all folds and the one on all pictures; 0 where `width` is not known.

    A fit to n pictures, d features and C classes costs about n × min(n, d) × C: a small one is timed and
    scaled so.
    """
    classes = len(split.classes)
    sizes = [len(part.train) + len(part.val) for part in split.folds or (split,)]
    sizes += [len(split.train)] if split.folds else []
    if not width or classes < 2:
        return 0.0
    timed = min(classes, CLASSES)
    each = _timed(width, timed) / (FITTED * min(FITTED, width) * timed)
    return each * classes * sum(size * min(size, width) for size in sizes)


@functools.cache
def _timed(width: int, classes: int) -> float:
    """Seconds to fit a head to made-up features of `FITTED` pictures."""
    import sklearn.linear_model
    import sklearn.preprocessing  # noqa: F401  # loading them is no part of a fit

    random = np.random.default_rng(0)
    labels = np.arange(FITTED) % classes
    centres = APART * random.normal(size=(classes, width))
    features = centres[labels] + random.normal(size=(FITTED, width))
    started = time.perf_counter()
    fit_linear(features.astype(np.float32), labels, [str(i) for i in range(FITTED)], classes)
    return time.perf_counter() - started
