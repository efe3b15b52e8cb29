"""No network unless the user asked for something that lives there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from painted import paint_folder

WATCH = """
import os, socket, sys

def note(event, arguments):
    local = event == "socket.__new__" and arguments[1] == socket.AF_UNIX
    if event.startswith("socket.") and not local and event != "socket.gethostname":
        with open("sockets", "a") as stream:
            stream.write(f"{event} {arguments}\\n")
        raise OSError(101, "no network here")

sys.addaudithook(note)
"""
"""Loaded by every Python process that the test starts, and by those that these start."""

COMMANDS = """
import json, pathlib, sys
from vitbench.cli import main

for words in json.load(sys.stdin):
    sys.argv = ["vitbench", *words]
    try:
        main()
        status = 0
    except SystemExit as done:
        status = done.code or 0
    sockets = pathlib.Path("sockets")
    answer = [words[0], status, sockets.read_text() if sockets.exists() else ""]
    print(json.dumps(answer), file=sys.stderr)
"""

TRAIN = "train photos --models test_vit --image-size 32 --epochs 1 --per-class 3 --name"


@pytest.mark.slow
def test_what_is_local_opens_no_socket(tmp_path: Path) -> None:
    """check, train from random weights, predict and compare: no process of theirs looks for a network.

    The last command asks for pretrained weights, which live there: the watch sees that.
    """
    paint_folder(tmp_path / "photos", per_class=4)
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    path = os.pathsep.join([str(tmp_path / "watch"), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": path, "HF_HOME": str(tmp_path / "hub")}
    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_ENDPOINT", "PYTHONSAFEPATH"):
        environment.pop(name, None)
    commands = [
        "data check photos",
        f"{TRAIN} x --weights random",
        "predict photos/red/00.png --report answers.html",
        "compare x",
        f"{TRAIN} y",
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        cwd=tmp_path,
        env=environment,
        input=json.dumps([command.split() for command in commands]),
        capture_output=True,
        text=True,
        check=False,
    )
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("[")]
    quiet, (last, status, sockets) = told[:-1], told[-1]
    assert quiet == [["data", 0, ""], ["train", 0, ""], ["predict", 0, ""], ["compare", 0, ""]]
    assert (tmp_path / "answers.html").exists()
    assert (last, status) == ("train", 1)
    assert "huggingface.co" in sockets
