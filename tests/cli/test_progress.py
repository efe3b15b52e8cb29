"""The displays, told of made-up runs by a clock that a test sets: lines, curves, what is left, what stays."""

import math
import signal
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from screens import compare_screen

from vitbench import progress
from vitbench.cli.progress import explaining
from vitbench.errors import Interrupted, StoppedError
from vitbench.progress.board import Board
from vitbench.progress.lines import LineDisplay
from vitbench.progress.live import ASCII_GLYPHS, LiveDisplay, curve
from vitbench.records import Benchmark, Epoch
from vitbench.records.watch import Watch

RIGHT = "41 of 48 test pictures right"
FAILED = "failed: the loss is not a number after epoch 30; a smaller --lr may help it along"


class Clock:
    """`time.monotonic`, standing still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("time.monotonic", found)
    return found


class Window(StringIO):
    """What a terminal of some encoding is given."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def live(columns: int = 80, lines: int = 24, encoding: str = "utf-8") -> LiveDisplay:
    window = Window(encoding)
    size = {"width": columns, "height": lines, "force_terminal": True, "color_system": None}
    return LiveDisplay(Path("nowhere"), console=Console(file=window, legacy_windows=False, **size))


def screen(display: LiveDisplay) -> str:
    with display.console.capture() as captured:
        display.console.print(display.drawn())
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def row(epoch: int, top1: float | None, loss: float = 0.8) -> Epoch:
    return Epoch(epoch, 0.9, 0.5, loss, top1, 1e-3, 1.0, 100.0, 1.0)


def train_to_the_end(board: Board, name: str, clock: Clock, failed: bool = False) -> None:
    """A run of 30 epochs, 2 s each."""
    run = board.among(name)
    run.run_started(name, 30, 10, 1)
    for epoch in range(1, 31):
        clock.now += 2
        run.epoch_finished(name, row(epoch, 0.3 + 0.02 * epoch), True)
    if failed:
        run.run_failed(
            name, "failed: the loss is not a number after epoch 30; a smaller --lr may help it along"
        )
    else:
        run.run_finished(name, RIGHT)
    board.ended(name)


def of_twelve_models(display: LiveDisplay, clock: Clock) -> None:
    """Ten have ended, one of them badly; two are under way at the same time."""
    names = [f"model{number}-s0" for number in range(1, 12)]
    display.benchmark_started("x", {**dict.fromkeys(names, 60.0), "vit-probe-s0": 5.0}, 2)
    for name in names[:10]:
        train_to_the_end(display, name, clock, failed=name == "model4-s0")
    run = display.among("model11-s0")
    run.run_started("model11-s0", 30, 10, 1)
    clock.now += 20
    for epoch in range(1, 9):
        run.epoch_finished("model11-s0", row(epoch, 0.3 + 0.06 * epoch), True)
    run.step(9, 4, 0.5123, 1234.5)
    probe = display.among("vit-probe-s0")
    probe.work("features", 0, 48)
    clock.now += 5
    probe.work("features", 30, 48)


@pytest.mark.parametrize(
    ("name", "columns", "lines", "encoding"),
    [
        ("12-models", 80, 24, "utf-8"),
        ("12-models-120-columns", 120, 24, "utf-8"),
        ("12-models-10-lines", 80, 10, "utf-8"),
        ("12-models-40-columns", 40, 24, "utf-8"),
        ("12-models-ascii", 80, 12, "ascii"),
    ],
)
def test_any_number_of_models_fits_the_window(
    clock: Clock, name: str, columns: int, lines: int, encoding: str
) -> None:
    """A line per run; those that have ended fold into a count, curves take what room there is."""
    display = live(columns, lines, encoding)
    of_twelve_models(display, clock)
    drawn = screen(display)
    assert max(map(len, drawn.splitlines())) <= columns
    assert len(drawn.splitlines()) < lines
    drawn.encode(encoding)
    compare_screen(f"progress-{name}.txt", drawn)


def test_the_reason_of_a_failure_stays_above_whole(clock: Clock) -> None:
    """Its line is cut where there is no room; what was printed is not."""
    display = live(60)
    display.benchmark_started("x", {"vit-s0": 60.0})
    train_to_the_end(display, "vit-s0", clock, failed=True)
    printed = display.console.file.getvalue()  # type: ignore[attr-defined]
    assert "a smaller --lr may help it along" in " ".join(printed.split())
    assert display.summary == ("1 of 1 ended, 1 failed",)


def test_what_is_left_ticks_while_an_epoch_goes_on(clock: Clock) -> None:
    """5 of 20 steps took 10 s: 30 s are left, and 27 s three seconds later, without a word from the run."""
    display = live()
    display.benchmark_started("x", {"vit-s0": 600.0})
    run = display.among("vit-s0")
    run.run_started("vit-s0", 2, 10, 1)
    assert run.line.time == "10 min left"
    clock.now += 10
    run.step(1, 5, 0.7, 40.0)
    assert run.line.time == "30 s left"
    clock.now += 3
    assert run.line.time == "27 s left"
    assert "27 s left" in display.summary[0]


def test_a_part_has_its_own_line_until_it_ends(clock: Clock) -> None:
    """Two folds at a time are two lines, and in the end one: the run's, its time from the first part on."""
    display = live()
    display.benchmark_started("x", {"vit-s0/fold-1": 60.0, "vit-s0/fold-2": 60.0}, 2)
    for part in ("vit-s0/fold-1", "vit-s0/fold-2"):
        display.among(part).run_started(part, 1, 10, 1)
    assert [line.name for line in display.lines()] == ["vit-s0/fold-1", "vit-s0/fold-2"]
    clock.now += 40
    for part in ("vit-s0/fold-1", "vit-s0/fold-2"):
        display.run_finished(part, RIGHT)
        display.ended(part)
    display.among("vit-s0").run_finished("vit-s0", RIGHT)
    (line,) = display.lines()
    assert (line.name, line.said, line.time) == ("vit-s0", (RIGHT,), "40 s")


def test_what_was_finished_before_is_shown_finished(two_models: Benchmark) -> None:
    """A resumed benchmark: the curve and the chosen epoch's score stand in the run's folder."""
    display = LiveDisplay(two_models.folder.parent, console=Console(file=StringIO()))
    display.benchmark_started("two", {})
    run = two_models.runs[0]
    display.run_finished(run.name, f"finished already: {RIGHT}")
    (line,) = display.lines()
    assert list(line.curve) == [epoch.val_top1 for epoch in run.epochs()]
    assert line.val == f"{100 * max(line.curve):.1f} %"
    assert line.time == ""


def test_going_on_keeps_the_curve(two_models: Benchmark) -> None:
    """At epoch 3 of 5 the two epochs of the earlier call stand in it."""
    display = LineDisplay(two_models.folder.parent)
    display.benchmark_started("two", {})
    run = display.among(two_models.runs[0].name)
    run.run_started(two_models.runs[0].name, 5, 10, 3)
    assert run.curve == [epoch.val_top1 for epoch in two_models.runs[0].epochs()[:2]]


def test_pretraining_is_followed_by_its_loss(clock: Clock) -> None:
    """Nothing is answered: the curve and the figure are val loss; without val there is none."""
    run = LineDisplay(Path("nowhere")).among("simmim-vit-s0")
    run.run_started("simmim-vit-s0", 2, 10, 1)
    run.epoch_finished("simmim-vit-s0", row(1, None, 0.25), True)
    assert (run.line.curve, run.line.val) == ((0.25,), "0.250")


@pytest.mark.parametrize(
    ("values", "most", "drawn"),
    [
        ((0, 0.5, 1), 12, "▁▅█"),
        ((0.5, 0.75, 1), 12, "▁▅█"),  # from the lowest to the highest
        ((0, 0, 1, 1, 0, 0), 3, "▁█▁"),  # each mark the mean of two
        ((0.7, 0.7), 12, "▅▅"),
        ((0, math.nan, 1), 12, "▁?█"),
        ((math.nan,), 12, "?"),
        ((math.inf, 1), 12, "?▅"),
        ((), 12, ""),
    ],
)
def test_curves(values: tuple[float, ...], most: int, drawn: str) -> None:
    """Eight heights between the lowest and the highest value; "?" where there is no number."""
    assert curve(values, most) == drawn
    plain = curve(values, most, ASCII_GLYPHS)
    assert plain.isascii()
    assert len(plain) == len(drawn)


def test_what_takes_long_says_how_far_it_is(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe a line every two seconds: 10 of 30 took 5 s, so 10 s are left."""
    display = LineDisplay(Path("results"))
    display.work("checking pictures", 0, 30)
    clock.now += 1
    display.work("checking pictures", 2, 30)
    assert capsys.readouterr().err == ""
    clock.now += 4
    display.work("checking pictures", 10, 30)
    assert capsys.readouterr().err == "checking pictures: 10 of 30, 10 s left\n"
    display.work("checking pictures", 11, 30)
    assert capsys.readouterr().err == ""


def test_what_is_known_already_does_not_count_as_quick(clock: Clock) -> None:
    """400 of 500 were there at once; 10 more took 10 s: 90 s are left."""
    display = LineDisplay(Path("results"))
    display.work("checking pictures", 400, 500)
    clock.now += 10
    display.work("checking pictures", 410, 500)
    assert display.task is not None
    assert display.task.left == 90


@pytest.mark.parametrize(
    ("terminal", "term", "kind"),
    [(True, "xterm", LiveDisplay), (True, "dumb", LineDisplay), (False, "xterm", LineDisplay)],
)
def test_only_a_terminal_that_can_is_redrawn(
    terminal: bool, term: str, kind: type[Board], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe, and TERM=dumb, get lines."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setenv("TERM", term)
    assert type(progress.display(Path("results"))) is kind


@pytest.mark.parametrize("kind", [LineDisplay, LiveDisplay])
def test_ctrl_c_says_how_to_go_on(kind: type[Board]) -> None:
    """Status 130 and the command that resumes; before a benchmark is there, that nothing was written."""
    display = kind(Path("results"))
    with pytest.raises(StoppedError, match="nothing was written"), explaining(display):
        raise KeyboardInterrupt
    display.benchmark_started("apples", {"vit-s0": 1.0})
    with pytest.raises(StoppedError, match="--resume --name apples") as stopped, explaining(display):
        raise KeyboardInterrupt
    assert stopped.value.exit_code == 130


def test_sigterm_says_how_far_it_is_saved_and_where() -> None:
    """Status 143; the command names an unusual results folder, and what was asked besides."""
    display = LineDisplay(Path("my results"), jobs=2, track=None)
    display.benchmark_started("apples", {"vit-s0": 1.0})
    way_on = "vitbench train --resume --name apples --results 'my results' --jobs 2"
    with pytest.raises(StoppedError) as stopped, explaining(display):
        raise Interrupted(signal.SIGTERM, "vit-s0 is saved at step 2")
    assert str(stopped.value) == f"stopped; vit-s0 is saved at step 2; `{way_on}` goes on"
    assert stopped.value.exit_code == 143


def _stopped(told: Watch) -> None:
    told.benchmark_started("apples", {})
    raise Interrupted(signal.SIGINT, "vit-s0 is saved at step 2")


@pytest.mark.slow
def test_python_is_shown_progress_unless_it_says_no(
    trained: Callable[..., Benchmark], no_reports: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """`vitbench.train(…)` has a line per epoch on stderr, and a call to go on where it is stopped."""
    trained(name="told")
    said = capsys.readouterr()
    assert said.out == ""
    assert "test_vit-s0: epoch 2/2 " in said.err
    trained(name="silent", progress=False)
    assert capsys.readouterr() == ("", "")
    with (
        pytest.raises(KeyboardInterrupt, match="saved at step 2"),
        progress.followed(Path("my results"), None, True) as told,
    ):
        _stopped(told)
    way_on = "`vitbench.train(name='apples', resume=True, results='my results')` goes on"
    assert capsys.readouterr().err == f"stopped; vit-s0 is saved at step 2; {way_on}\n"


@pytest.mark.slow
def test_the_last_look_at_val_and_test_is_counted(
    trained: Callable[..., Benchmark], no_reports: None
) -> None:
    """After the last epoch, in batches of 16 pictures; the curve stays meanwhile."""
    told: list[tuple[str, int, int]] = []

    class Listening(Watch):
        def work(self, what: str, done: int, total: int) -> None:
            told.append((what, done, total))

    trained(Listening(), name="counted")
    assert [one for one in told if "pictures" in one[0]][-2:] == [
        ("val pictures", 6, 6),
        ("test pictures", 6, 6),
    ]
    run = LineDisplay(Path("nowhere")).among("vit-s0")
    run.run_started("vit-s0", 1, 10, 1)
    run.epoch_finished("vit-s0", row(1, 0.5), True)
    run.work("test pictures", 16, 48)
    assert (run.line.curve, run.line.said[0]) == ((0.5,), "test pictures: 16 of 48")
