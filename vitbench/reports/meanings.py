"""What each number of the page is, in one line that goes on from its heading; plain words first.

Columns of models have theirs in `COLUMNS` and `METRICS`. A heading without a meaning is a mistake: `meant`.
"""

from vitbench.reports.html_cells import INTERVAL, Head

MEANINGS = {
    # in sentences
    "interval": INTERVAL,
    "McNemar": "the test on those pictures that only one of two models names right",
    "sign flips": "a test that exchanges two models on pictures, in many ways, to see what chance does",
    # two models
    "first − second, points": "how many more of 100 pictures the first one names right",
    "only first right": "test pictures that the first one names right and the second one does not",
    "only second right": "test pictures that the second one names right and the first one does not",
    "p": "how often chance alone makes such a difference; told apart where it is 0.05 or less",
    "p, corrected": "how often chance alone makes such a difference somewhere among all these pairs; told "
    "apart where it is 0.05 or less",
    "log loss, first − second": "difference in log loss, below zero where the first one is better, and its p",
    "difference": "the first one's score minus the second one's",
    # what would change the answer
    "a lead that shows, points": "the smallest measured lead that could be told from chance, if the two go "
    "on disagreeing as often as here; dashed: the lead that was measured",
    "change": "how much smaller a lead would then show, points",
    "minutes of training": "on the machine of these runs, if all take as long as they did, one after another",
    # classes
    "test pictures": "of the class",
    "recall": "of the test pictures of a class, how many in 100 this model names right",
    "confused": "test pictures of the first class that this model takes for the second, all its trainings",
    "all": "the same over all models",
    # new photos
    "right": "photos whose class is known and named right",
    "right, %": "how many in 100 are named right",
    "of": "how many were counted",
    "same answer, %": "photos, in 100, for which both name the same class",
    "photos": "for which both name the same class",
    # leaks, looks
    "rank": "its place among the models; a range where these pictures cannot tell models apart",
    "of test pictures": "test pictures that are left",
    "times": "evaluations on test pictures; each one makes a result mean a little less",
    "pictures, in all": "test pictures that were looked at, each time counted",
    # arms, teachers
    "arm": "how many test pictures in 100 the model names right, trained in this way; ★: better than every "
    "other way",
    "agrees with the teacher, %": "test pictures in 100 on which it answers as its teacher, right or wrong",
    "s per epoch": "seconds of one pass through the training views",
}  # fmt: skip


def meant(title: str, axis: tuple[str, str] | None = None) -> Head:
    """The heading of a column of numbers, with what they are; KeyError where nobody wrote that down."""
    return Head(title, axis=axis, meaning=MEANINGS[title])
