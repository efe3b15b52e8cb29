"""The plan as it is printed, compared with what it was."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from painted import paint
from screens import compare_screen

Call = Callable[..., tuple[int, str]]
TINY_PLAN = ("--weights", "random", "--image-size", "32", "--epochs", "3", "--no-probe", "--dry-run")


def steady(text: str) -> str:
    """Without what is measured, the columns that it moves, the machine, and progress on a slow one."""
    text = re.sub(r"^timing a few steps.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r" +(time|\d+(\.\d)? (s|min|h))(?=  )", "  TIME", text)
    text = re.sub(r"on \S+ CPU, \d+ threads?", "on this CPU", text)
    return re.sub(r" {2,}", "  ", re.sub(r"( from)?( \w*)?…", "…", text))


@pytest.mark.slow
@pytest.mark.usefixtures("timed")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("three-models", "--models test_vit,test_efficientnet,test_resnet"),
        ("folds-seeds-arms", "--models test_vit --folds 3 --seeds 0,1,2 --arms scratch,simmim"),
        ("thirteen-seeds", "--models test_vit --seeds 0,1,2,3,4,5,6,7,8,9,10,11,12"),
    ],
)
def test_the_plan_fits_80_columns_and_15_lines(
    call: Callable[..., tuple[int, str]], name: str, words: str
) -> None:
    """Classes with their counts, a row per model, what a run does, every note once."""
    status, said = call("train", "my photos", *TINY_PLAN, *words.split())
    lines = said.splitlines()
    assert status == 0
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 15
    compare_screen(f"plan-{name}.txt", steady(said))


def test_of_many_classes_some_are_named(call: Call) -> None:
    """Those that have room in two lines, with their counts, then how many more there are."""
    for number in range(180):
        paint(Path("many") / f"kind {number // 3:02d}" / f"{number}.png", (number, 90, 160), number)
    status, said = call("train", "many", *TINY_PLAN, "--models", "test_vit")
    assert status == 0, said
    assert re.match(r"many: 180 pictures in 60 classes: kind 00 3, kind 01 3,[^…]*, … and \d\d more", said)
