"""Two real processes by torchrun train as one does; killed, they go on; what goes wrong in one ends all."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import test_backends
import torch
from brief import briefly
from painted import TINY, paint_folder
from safetensors.torch import load_file

from vitbench.benchmark import train as training
from vitbench.data import made
from vitbench.errors import RefusedError, UsageError, VitbenchError
from vitbench.files import read_csv, read_json, sha256_of
from vitbench.records import Benchmark, Run, Settings
from vitbench.training import loop
from vitbench.training.distributed.processes import Processes
from vitbench.training.machine import choose_machine
from vitbench.training.trainer import Trainer

TOLERANCE = 1e-4
"""Largest difference of any weight after two epochs at a learning rate of 2e-3 from one process's."""
TIMES = ("seconds", "images_per_second", "peak_memory_mb")
ODD = {**TINY, "batch_size": 15}
DRAWN = {**ODD, "drop_path": 0.2, "ema": 0.9, "mixup": 0.2}
LESSONS = {"simmim": {"pretrain": True, "pretrain_epochs": 2}, "soft": {"distill": "soft"}}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
CALL = ["-m", "vitbench", "train"]
OPTIONS = shlex.split(
    "--models test_vit --weights random --image-size 32 --epochs 4 --per-class 60 --batch-size 15 "
    "--drop-path 0.2 --ema 0.9 --workers 1 --name cut"
)
RANK = int(os.environ.get("RANK", "0"))


# --- what is done by one process and by two -------------------------------------------------------


def train_and_note(root: Path, name: str, **asked: Any) -> Benchmark:
    """Train on `root/data`; `<name>-<rank>.json` beside it holds the views drawn and pictures answered."""
    views: list[list[Any]] = []
    answered: list[str] = []
    draw, predict = made.draw_view, loop.predict_pictures

    def drawing(*given: Any) -> Any:
        views.append(list(given[1:4]))  # turn, content, k
        return draw(*given)

    def predicting(*given: Any) -> Any:
        found = predict(*given)
        answered.extend(found.paths)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_reports", lambda *given: None)
        patch.setattr(made, "draw_view", drawing)
        patch.setattr(loop, "predict_pictures", predicting)
        done = training.train(root / "data", name=name, results=root / "results", **asked)
    (root / f"{name}-{RANK}.json").write_text(json.dumps({"views": views, "answered": answered}))
    return done


def lessons(root: Path) -> dict[str, Any]:
    """Masked pre-training before a training, and a student of what was trained before."""
    teacher = {"teacher": str(run_of(root, "two") / "model")}
    return {**ODD, "epochs": 1, "arms": {**LESSONS, "soft": {**LESSONS["soft"], **teacher}}}


def lose_a_picture(root: Path) -> None:
    """Train where the second process alone finds that a picture has changed."""

    def lost(*given: Any) -> Any:
        raise made.LostPictureError("red/00.png: changed since the data were read; put it back")

    with pytest.MonkeyPatch.context() as patch:
        if RANK == 1:
            patch.setattr(made, "training_picture", lost)
        with pytest.raises(VitbenchError) as raised:
            train_and_note(root, "lost", **ODD)
    (root / f"lost-{RANK}.txt").write_text(str(raised.value))


def fail_in_one(root: Path) -> None:
    """Train five seeds; in four of them something goes wrong in one of the processes alone."""
    step = loop.train_step

    def stumbling(trainer: Trainer, *given: Any) -> Any:
        seed, first = trainer.recipe.seed, RANK == 0
        if seed == 1 and not first:
            raise ZeroDivisionError("a bug of its own")
        if seed == 2 and not first and trainer.machine.micro_batch > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        loss, right = step(trainer, *given)
        return (loss * float("nan") if seed == 3 and first else loss), right

    def stopping(run: Run, *given: Any) -> Any:
        if run.name == "test_vit-s4":
            raise RefusedError(f"{run.folder}: somebody else has it")
        return contextlib.nullcontext()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_step", stumbling)
        patch.setattr("vitbench.training.jobs.locked", lambda folder: stopping(Run(folder)))
        train_and_note(root, "stumbling", **{**ODD, "seeds": (1, 2, 3, 4, 5)})


def by_torchrun(root: Path) -> None:
    """All that the two processes do for the quick tests, in one start."""
    with briefly():
        train_and_note(root, "two", **ODD)
        train_and_note(root, "two-drawn", **DRAWN)
        train_and_note(root, "two-lessons", **lessons(root))
        fail_in_one(root)
        lose_a_picture(root)
        test_backends.by_torchrun(root)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """As torchrun gives each process."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one process and two have trained alike."""
    root = tmp_path_factory.mktemp("several")
    paint_folder(root / "data")
    subprocess.run([*TORCHRUN, __file__, str(root)], check=True, env=environment(), timeout=250)
    with one_thread():
        train_and_note(root, "one", **ODD)
        train_and_note(root, "one-drawn", micro_batch=8, **DRAWN)
        train_and_note(root, "one-lessons", micro_batch=8, **lessons(root))
    return root


def environment() -> dict[str, str]:
    here = Path(__file__).parents[2]
    paths = [str(here), str(here / "tests"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def noted(root: Path, name: str, what: str) -> list[list[Any]]:
    """What each process wrote down."""
    return [json.loads(path.read_text())[what] for path in sorted(root.glob(f"{name}-[01].json"))]


def run_of(root: Path, name: str) -> Path:
    return root / "results" / name / "test_vit-s0"


def rows_of(run: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in TIMES} for row in read_csv(run / "epochs.csv")]


def weights_sha256(run: Path) -> str:
    return sha256_of(run / "model" / "model.safetensors")


# --- quick ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_see_the_views_that_one_sees(root: Path) -> None:
    """Every view of every epoch is drawn by exactly one of them, 18 of 36 an epoch by each."""
    (one,), both = noted(root, "one", "views"), noted(root, "two", "views")
    assert [len(views) for views in both] == [36, 36] == [len(one) // 2] * 2
    assert Counter(map(tuple, one)) == Counter(map(tuple, [*both[0], *both[1]]))


@pytest.mark.slow
def test_two_processes_take_each_global_batch_in_halves(root: Path) -> None:
    """36 views in batches of 12: each has its half of every one, in the order of one process."""
    (one,), both = noted(root, "one", "views"), noted(root, "two", "views")
    steps = [one[start : start + 12] for start in range(0, 72, 12)]
    for rank in (0, 1):
        assert both[rank] == [view for step in steps for view in step[6 * rank : 6 * rank + 6]]


@pytest.mark.slow
def test_two_processes_follow_the_same_learning_rates(root: Path) -> None:
    """`epochs.csv` names the same rate for each epoch."""
    one, two = (rows_of(run_of(root, name)) for name in ("one", "two"))
    assert [row["lr"] for row in one] == [row["lr"] for row in two]


@pytest.mark.slow
def test_each_picture_is_answered_once_by_one_of_them(root: Path) -> None:
    """Val twice (an epoch each) and once for its file, test once; the rows of one process, in its order."""
    (one,), both = noted(root, "one", "answered"), noted(root, "two", "answered")
    assert Counter(one) == Counter([*both[0], *both[1]])
    tables = [read_csv(run_of(root, name) / "predictions.csv") for name in ("one", "two")]
    assert [row["path"] for row in tables[0]] == [row["path"] for row in tables[1]]
    assert [row["prediction"] for row in tables[0]] == [row["prediction"] for row in tables[1]]


@pytest.mark.slow
def test_weights_differ_by_rounding_only(root: Path) -> None:
    """Gradients are added up in another order: no weight is farther off than `TOLERANCE`."""
    one, two = (load_file(run_of(root, name) / "model" / "model.safetensors") for name in ("one", "two"))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < TOLERANCE


@pytest.mark.slow
def test_two_processes_are_one_with_half_the_micro_batch_to_the_last_bit(root: Path) -> None:
    """Drop path, EMA and mixup on: the same weights, rows and answers as one process that accumulates."""
    one, two = run_of(root, "one-drawn"), run_of(root, "two-drawn")
    assert weights_sha256(one) == weights_sha256(two)
    assert rows_of(one) == rows_of(two)
    assert (one / "predictions.csv").read_bytes() == (two / "predictions.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["simmim-test_vit-s0/pretrain", "simmim-test_vit-s0", "soft-test_vit-s0"])
def test_masks_and_teachers_are_shared_to_the_last_bit(root: Path, place: str) -> None:
    """Pre-training, what begins with it, and a student: the same bytes as one process that accumulates."""
    one, two = (root / "results" / name / place for name in ("one-lessons", "two-lessons"))
    assert weights_sha256(one) == weights_sha256(two)
    assert rows_of(one) == rows_of(two)


@pytest.mark.slow
def test_the_number_of_processes_is_written_down(root: Path) -> None:
    """In environment.json and recipe.json, and where times are told."""
    known = read_json(run_of(root, "two") / "environment.json")
    assert (known["processes"], known["threads"], known["micro_batch"]) == (2, 1, 8)
    assert known["device"].endswith("1 thread, 2 processes")
    assert read_json(run_of(root, "two") / "recipe.json")["machine"]["processes"] == 2


@pytest.mark.slow
def test_only_the_first_process_writes(root: Path) -> None:
    """One line in the log for each start and epoch, one look at the test pictures."""
    run = run_of(root, "two")
    log = (run / "log.txt").read_text()
    assert len(re.findall(r"start at epoch", log)) == 1
    assert re.findall(r"epoch (\d) saved", log) == ["1", "2"]
    assert len(read_csv(run / "test_evaluations.csv")) == 1


@pytest.mark.slow
def test_an_error_of_the_second_process_is_told_by_the_first(root: Path) -> None:
    """It is the very line that one process would give; the second one ends too, and nobody waits for ever."""
    first, second = ((root / f"lost-{rank}.txt").read_text() for rank in (0, 1))
    assert first == "red/00.png: changed since the data were read; put it back"
    assert "the first process has ended" in second


@pytest.mark.slow
def test_what_fails_in_one_process_fails_one_run(root: Path) -> None:
    """A bug in the second, a loss that is no number in the first, a run that is taken: others finish."""
    runs = {run.name: run for run in Benchmark(root / "results" / "stumbling").runs}
    ends = {name: run.status for name, run in runs.items()}
    assert ends["test_vit-s1"] == ends["test_vit-s3"] == "failed"
    assert ends["test_vit-s2"] == ends["test_vit-s5"] == "finished"
    assert not (runs["test_vit-s4"].folder / "log.txt").exists()
    assert "ZeroDivisionError: a bug of its own; the traceback is in" in runs["test_vit-s1"].failure
    assert "in process 1:" in (runs["test_vit-s1"].folder / "log.txt").read_text()
    assert runs["test_vit-s3"].failure.startswith("the loss is nan at epoch 1")
    assert (root / "stumbling-1.json").exists()  # the second process saw the end of it


@pytest.mark.slow
def test_memory_that_ends_in_one_process_means_smaller_steps_in_both(root: Path) -> None:
    """Eight pictures at a time do not fit into the second one: both take four, and the run says so."""
    run = Run(root / "results" / "stumbling" / "test_vit-s2")
    known = read_json(run.folder / "recipe.json")
    assert known["machine"]["micro_batch"] == 4
    assert known["fallbacks"][0].startswith("out of memory: 4 pictures per forward pass")


@pytest.mark.slow
def test_torchrun_trains_on_a_machine_with_cuda(root: Path) -> None:
    """On its CPU, simulated: from the first meeting to the reports."""
    assert (run_of(root, "cuda") / "metrics.json").exists()
    assert (root / "results" / "cuda" / "report.html").exists()


def test_another_number_of_processes_is_refused(trained: Callable[..., Benchmark], tmp_path: Path) -> None:
    """A run of two processes is not gone on with by one, unless that is asked for; then it is noted."""

    class Stop(training.Watch):
        def epoch_finished(self, *given: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(Stop())
    path = tmp_path / "results" / "tiny" / "test_vit-s0" / "environment.json"
    path.write_text(json.dumps({**read_json(path), "processes": 2}))
    with pytest.raises(UsageError, match=r"processes 2 → 1\); start it with torchrun --nproc_per_node 2, or"):
        trained(resume=True)
    run = trained(resume=True, allow_changed=True).runs[0]
    assert any("processes 2 → 1" in note for note in run.metrics()["notes"])


@pytest.mark.parametrize("pictures", [1, 2, 7, 32])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_shares_cover_a_batch(pictures: int, count: int) -> None:
    """Every picture of a batch is in the share of one process, none in two; sizes differ by one at most."""
    shares = [range(pictures)[Processes(rank, count).share(pictures)] for rank in range(count)]
    assert [i for share in shares for i in share] == list(range(pictures))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_batch_has_a_picture_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """--batch-size 3 for four processes is refused before anything is written."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UsageError, match="has not a picture for each of 4 processes"):
        choose_machine(Settings(), torch.device("cpu"), 3)


# --- killed and resumed ---------------------------------------------------------------------------


def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """`torchrun -m vitbench train …` to its end."""
    return subprocess.run(
        [*TORCHRUN, *CALL, *words], cwd=folder, env=environment(), capture_output=True, text=True, timeout=240
    )


@contextlib.contextmanager
def inside_epoch_two(folder: Path) -> Iterator["tuple[subprocess.Popen[str], list[psutil.Process]]"]:
    """A training that is in the middle of epoch 2, and its processes by rank."""
    errors = folder / "stderr.txt"
    with errors.open("w") as stream:
        launcher = subprocess.Popen(
            [*TORCHRUN, *CALL, "data", *OPTIONS],
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=stream,
            text=True,
        )
    log = run_of(folder, "cut") / "log.txt"
    deadline = time.monotonic() + 120
    ranks: list[psutil.Process] = []
    try:
        while not re.search(r"epoch 2 step [3-9]/", log.read_text() if log.exists() else ""):
            assert launcher.poll() is None, errors.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        found = {
            process.environ().get("RANK"): process for process in psutil.Process(launcher.pid).children()
        }
        ranks = [found["0"], found["1"]]
        yield launcher, ranks
    finally:
        launcher.kill()
        for process in ranks:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        launcher.wait()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two processes that nothing disturbs, on painted pictures."""
    folder = tmp_path_factory.mktemp("whole")
    paint_folder(folder / "data")
    done = call(folder, "data", *OPTIONS)
    assert done.returncode == 0, done.stderr
    return run_of(folder, "cut")


def resumed(folder: Path, whole: Path) -> None:
    """Go on, and end with the weights, rows and answers of the undisturbed run."""
    done = call(folder, "--resume", "--name", "cut")
    assert done.returncode == 0, done.stderr
    run = run_of(folder, "cut")
    assert weights_sha256(run) == weights_sha256(whole)
    assert rows_of(run) == rows_of(whole)
    assert (run / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()


def lines_of_vitbench(folder: Path) -> list[str]:
    return [line for line in (folder / "stderr.txt").read_text().splitlines() if line.startswith("vitbench:")]


@pytest.mark.faults
def test_all_killed_then_resumed(tmp_path: Path, whole: Path) -> None:
    """kill -9 of launcher and both processes in the middle of an epoch costs nothing but time."""
    paint_folder(tmp_path / "data")
    with inside_epoch_two(tmp_path) as (launcher, ranks):
        for process in (launcher, *ranks):
            process.kill()
    resumed(tmp_path, whole)


@pytest.mark.faults
@pytest.mark.parametrize("rank", [0, 1])
def test_one_killed_ends_all_then_resumed(tmp_path: Path, whole: Path, rank: int) -> None:
    """kill -9 of either process: nobody hangs, one line at most, and resuming loses nothing."""
    paint_folder(tmp_path / "data")
    with inside_epoch_two(tmp_path) as (launcher, ranks):
        ranks[rank].kill()
        assert launcher.wait(60) != 0
        assert not any(process.is_running() for process in ranks)
    said = lines_of_vitbench(tmp_path)
    assert len(said) == (rank != 0)
    if said:
        assert "goes on" in said[0]
        assert "torchrun --nproc_per_node 2 -m vitbench train --resume --name cut" in said[0]
    resumed(tmp_path, whole)


@pytest.mark.faults
def test_sigterm_to_the_launcher_saves_the_step(tmp_path: Path, whole: Path) -> None:
    """As from a scheduler: the step is finished and saved inside the epoch, one line says so."""
    paint_folder(tmp_path / "data")
    with inside_epoch_two(tmp_path) as (launcher, _):
        launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(60) != 0
    (said,) = lines_of_vitbench(tmp_path)
    assert re.search(r"stopped; test_vit-s0 is saved at step \d+ of 12 of epoch 2", said)
    assert list((run_of(tmp_path, "cut") / "checkpoint").glob("epoch-0002-step-*.json"))
    resumed(tmp_path, whole)


@pytest.mark.faults
def test_other_commands_are_done_once(whole: Path) -> None:
    """`compare` and `predict` under torchrun answer once."""
    folder = whole.parents[2]
    for words in (["compare", "--json"], ["predict", "data/red/00.png", "--json"]):
        done = subprocess.run(
            [*TORCHRUN, "-m", "vitbench", *words],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)


@pytest.mark.faults
def test_a_wrong_call_ends_all(tmp_path: Path) -> None:
    """A folder that is not there: one line, and the processes that wait for the first one end with it."""
    done = call(tmp_path, "nowhere")
    assert done.returncode != 0
    assert len([line for line in done.stderr.splitlines() if line.startswith("vitbench:")]) == 1


if __name__ == "__main__":
    by_torchrun(Path(sys.argv[1]))
