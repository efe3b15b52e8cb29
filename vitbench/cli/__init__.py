"""The command line: `main` turns whatever happens into one line and an exit status."""

import os
import signal
import sys
from typing import TYPE_CHECKING

from vitbench.errors import VitbenchError

if TYPE_CHECKING:
    import typer


def main() -> None:
    """Run `vitbench`; 0 done, 1 failed, 2 wrong usage, 3 done in part, 130 Ctrl-C, 143 SIGTERM.

    A `VitbenchError`, and what the system refuses (a full disk, say), becomes a line; a bug keeps its
    traceback.
    """
    # Waiting threads sleep instead of spinning: a machine that others use too is five times faster so,
    # and an idle one gains by preparing pictures beside the arithmetic. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from vitbench import files

    for stream in (sys.stdout, sys.stderr):
        # A file name that is not UTF-8, or a terminal that cannot show a class name, is no reason to stop.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        _carry_out()
    except VitbenchError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if not (line := files.fault_line(error)):
            raise
        _say(line)
        sys.exit(VitbenchError.exit_code)


def _say(line: str) -> None:
    """The last line on stderr; names in it cannot speak to the terminal."""
    from vitbench.files import printable

    print(f"vitbench: {printable(line)}", file=sys.stderr)


def _carry_out() -> None:
    from vitbench.benchmark import beside
    from vitbench.cli import torchrun
    from vitbench.launch import started

    if started()[0] > 0:
        sys.exit(torchrun.run(sys.argv[1:]))
    with beside.ready(sys.argv[1:]):
        from vitbench.cli.app import app

        sys.exit(_called(app))


def _called(app: "typer.Typer") -> int:
    """The command's exit status; a call that cannot be meant is one line, not a box of several."""
    import typer

    from vitbench.cli.commands import CALL_ERROR, refused

    try:
        status = app(standalone_mode=False, prog_name="vitbench")
        return status if isinstance(status, int) else 0
    except typer.Abort:
        return 128 + signal.SIGINT
    except CALL_ERROR as error:
        if type(error).__name__ != "NoArgsIsHelpError":
            raise refused(error) from error
        typer.echo(error.format_message())
        return int(error.exit_code)
