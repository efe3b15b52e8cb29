"""Every write, fsync and rename of a benchmark fails once: what is there is whole, and resume ends equal."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from faults.forking import Warm

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]
CALLS = ("write", "fsync", "rename")
FAULTS = {"ENOSPC": "error=ENOSPC", "EIO": "error=EIO", "kill": "signal=SIGKILL"}
PROMISED = "the old or the new state loads, one line and no traceback, resume ends with equal bytes"


@pytest.fixture(scope="session")
def _traceable() -> None:
    """Skips where nothing can be traced."""
    if sys.platform != "linux" or shutil.which("strace") is None:
        pytest.skip("needs Linux and strace (apt-get install strace)")
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.decode()[:80]}")


@pytest.fixture(scope="session")
def undisturbed(warm: Warm) -> Any:
    """What a benchmark comes to when nothing fails."""
    assert warm.call("check", "undisturbed", whole=False) == 0
    assert warm.said["status"] == 0, warm.printed
    return warm.said["outcome"]


def hit(warm: Warm, name: str) -> str | None:
    """The file inside the benchmark at which the injected fault struck; "" elsewhere, None: it did not."""
    lines = (warm.root / "trace.txt").read_text(errors="replace").splitlines()
    found = [line for line in lines if "INJECTED" in line or "killed by SIGKILL" in line]
    if not found:
        return None
    at = lines[lines.index(found[0])] if "INJECTED" in found[0] else lines[lines.index(found[0]) - 1]
    inside = re.search(rf"results/{name}(?:/([^>\"]*))?[>\"]", at)
    return inside[1] or "." if inside else ""


def strike(warm: Warm, name: str, call: str, fault: str, number: int, *, whole: bool) -> str | None:
    """Carry out a benchmark in which the `number`-th such call fails; where, see `hit`. It must say why."""
    shutil.rmtree(warm.root / "results" / name, ignore_errors=True)
    inject = f"inject={call}:{FAULTS[fault]}:when={number}"
    status = warm.call("train", name, whole, ["-e", f"trace={call}", "-e", inject])
    at = hit(warm, name)
    case = f"{fault} at {call} {number} ({at}): {warm.printed}"
    if at is None:
        assert status == 0, case
    elif fault == "kill":
        assert os.WIFSIGNALED(status), case
        assert os.WTERMSIG(status) == signal.SIGKILL, case
    else:
        # A fault where it costs nothing (a lock's note of its holder) may be passed over.
        assert os.waitstatus_to_exitcode(status) in (0, 1), case
        assert "Traceback" not in warm.printed, case
    return at


@pytest.mark.usefixtures("_traceable")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_every_point_of_a_run_can_fail(
    warm: Warm, undisturbed: Any, record: Callable[..., None], call: str, fault: str
) -> None:
    """The N-th call fails, for N = 1, 2, 3 … until none is left; each time the benchmark is whole after."""
    name, found = f"{call}-{fault}", Counter[str]()
    for number in range(1, 1000):
        at = strike(warm, name, call, fault, number, whole=False)
        if at is None:
            break
        assert warm.call("check", name, whole=False) == 0, warm.printed
        said, case = warm.said, f"{fault} at {call} {number} ({at})"
        assert said["broken"] == [], case
        assert said["status"] == 0, case
        assert said["outcome"] == undisturbed, case
        found["inside" if at else "elsewhere"] += 1
        found["benchmark there" if said["there"] else "no benchmark yet"] += 1
    assert found["inside"] > 10
    record(
        fault=f"{fault} at the N-th {call}, N = 1, 2, 3 … until none is left",
        cause=f"strace -f -p PID -e inject={call}:{FAULTS[fault]}:when=N",
        cases=found["inside"],
        promised=PROMISED,
        happened=f"as promised in all ({found['no benchmark yet']} before there was a benchmark)",
    )


@pytest.mark.usefixtures("_traceable")
@pytest.mark.parametrize("call", CALLS)
def test_every_point_of_the_reports_can_fail(
    warm: Warm, undisturbed: Any, record: Callable[..., None], call: str
) -> None:
    """A disk that fills up while tables and curves are written costs no run; they are written again."""
    shutil.rmtree(warm.root / "results" / "plain", ignore_errors=True)
    warm.call("train", "plain", False, ["-e", f"trace={call}"])
    lines = (warm.root / "trace.txt").read_text().splitlines()
    main = lines[0].split()[0]  # strace counts each thread's calls by themselves; this one writes reports
    trained = sum(bool(re.match(rf"{main} +{call}\(.*results/plain", line)) for line in lines)
    cases = 0
    for number in range(trained + 1, 1000):
        at = strike(warm, "reports", call, "ENOSPC", number, whole=True)
        if at is None:
            break
        assert warm.call("check", "reports", whole=False) == 0, warm.printed
        assert warm.said["broken"] == [], f"{call} {number} ({at})"
        assert warm.said["outcome"] == undisturbed
        cases += bool(at)
    assert cases > 5
    record(
        fault=f"ENOSPC at the N-th {call} of the tables, curves and the page",
        cause=f"strace -f -p PID -e inject={call}:error=ENOSPC:when=N",
        cases=cases,
        promised="the runs stay as they are, each file is the old or the new one, one line",
        happened="as promised in all",
    )
