"""Every command that is printed works when it is pasted: all that some calls print are run as they stand."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.progress.board import RunWatch

Call = Callable[..., tuple[int, str]]
SMALL = ["--weights", "random", "--image-size", "32", "--epochs", "1", "--per-class", "6", "--no-probe"]
ELSEWHERE = ["--results", "my results"]


def printed(text: str) -> list[str]:
    """The commands in a text: between back ticks, or what stands behind "next:" and the like on a line."""
    text = text.replace(" \\\n   ", "")  # as a shell joins lines
    ticked = re.findall(r"`(vitbench [a-z][^`]+)`", text)
    return ticked + re.findall(r"(?:next|to try again): (vitbench .+)$", text, flags=re.M)


def paste(call: Call, line: str, **filled_in: str) -> None:
    """Run a printed command, capitals filled in; what would train for long only plans, a small network."""
    said = shlex.split(line)[1:]
    words = [filled_in.get(word, word) for word in said]
    planned = ["--dry-run"] if words[0] in ("train", "probe", "pretrain") and "--resume" not in words else []
    if "DATA" in said and "--models" not in said:
        planned += ["--models", "test_vit", "--image-size", "32"]
    status, text = call(*words, *planned)
    assert status == 0, f"{line}\n{text}"


@pytest.mark.slow
def test_probes_lead_to_a_training_and_to_themselves(call: Call) -> None:
    """The next command has data, size, weights and results; so has the one in the report."""
    words = ["probe", "my photos", "--models", "test_vit,test_vit2", "--name", "p", *SMALL[:4], *ELSEWHERE]
    status, text = call(*words)
    assert status == 0, text
    (following,) = printed(text)
    assert "--image-size 32" in following
    paste(call, following)
    paste(call, json.loads(Path("my results/p/report.json").read_text())["command"])
    status, text = call("train", "--name", "p", "--models", "test_resnet", *ELSEWHERE)
    assert status == 2
    (adding,) = printed(text)
    paste(call, adding)


def test_what_stops_or_fails_says_how_to_go_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a training, questions to what is unfinished, a benchmark that is not there, a failure."""
    lines = printed(call("compare", "x", *ELSEWHERE)[1]) + printed(call("predict", "a.png", *ELSEWHERE)[1])
    assert len(lines) == 3
    for line in lines:
        if "demo" not in line:
            paste(call, line, DATA="my photos")

    def stop(self: object, epoch: int, step: int, *more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunWatch, "step", stop)
        status, text = call("train", "my photos", "--models", "test_vit", "--name", "cut", *SMALL, *ELSEWHERE)
    assert status == 130
    lines = printed(text) + printed(call("predict", "my photos", *ELSEWHERE)[1])
    lines += printed(call("predict", "my photos", "--run", "cut/test_vit-s0", *ELSEWHERE)[1])
    assert len(lines) == 3
    assert all("--resume --name cut" in line for line in lines)
    paste(call, lines[0])
    status, text = call("train", "--name", "cut", "--resume", *ELSEWHERE)
    assert status == 0
    for line in printed(text):
        paste(call, line, IMAGE="my photos/red/00.png")


@pytest.mark.slow
def test_pictures_that_moved_are_asked_for_with_a_command_that_takes_them(call: Call) -> None:
    """Adding a model, going on, the report: each names all but the place."""
    words = ["train", "my photos", "--models", "test_vit", "--name", "here", *SMALL, *ELSEWHERE]
    status, text = call(*words)
    assert status == 0
    assert text.count("near-duplicates: none") == 1
    said = [line for line in text.splitlines() if line]
    assert len(said) == len(set(said))  # nothing twice
    Path("my photos").rename('$new "place"')
    lines = printed(call("train", "--name", "here", "--models", "test_vit2", *ELSEWHERE)[1])
    lines += printed(call("train", "--name", "here", "--resume", *ELSEWHERE)[1])
    status, text = call("compare", "here", *ELSEWHERE)
    lines += printed(text)
    assert status == 0
    assert len(lines) == 4
    for line in lines:
        paste(call, line, NEWPLACE='$new "place"', IMAGE='$new "place"/red/00.png')


@pytest.mark.slow
def test_encoders_lead_to_a_training(call: Call) -> None:
    """`pretrain` and whoever asks its encoders for answers."""
    words = ["pretrain", "my photos", "--models", "test_vit", "--name", "first", "--epochs", "1"]
    status, text = call(*words, "--image-size", "32", *ELSEWHERE)
    assert status == 0, text
    lines = printed(text) + printed(call("compare", "first", *ELSEWHERE)[1])
    lines += printed(call("predict", "my photos", "--run", "first/simmim-test_vit-s0", *ELSEWHERE)[1])
    assert len(lines) == 3
    for line in lines:
        paste(call, line, DATA="my photos")
