"""Which engine carries works out, as it was asked for."""

from dataclasses import dataclass
from typing import Literal

from vitbench.benchmark.engine import Engine, InTurn, Local
from vitbench.benchmark.rays import refuse_absent
from vitbench.errors import UsageError
from vitbench.launch import started
from vitbench.records import Machine
from vitbench.records.watch import Watch

EngineName = Literal["local", "ray"]


@dataclass(frozen=True)
class Where:
    """Where works are to be carried out."""

    engine: EngineName = "local"
    address: str | None = None
    """Of a Ray cluster; None: of the one that is there, or else one of this machine alone."""

    @property
    def options(self) -> dict[str, str | None]:
        """What a command says of it, None where that is the default."""
        return {"engine": None if self.engine == "local" else self.engine, "address": self.address}

    def refuse(self, jobs: object, *, dry_run: bool = False) -> None:
        """UsageError for what cannot be meant, before anything is loaded; `jobs`: `Settings.jobs`.

        Where nothing is to be carried out Ray need not be there.
        """
        if self.engine == "local":
            if self.address is not None:
                raise UsageError(f"--address {self.address}: says which Ray; add --engine ray")
            return
        if started()[1] > 1:
            raise UsageError("--engine ray: torchrun's processes train one model together; leave one away")
        if jobs == "auto":
            raise UsageError(
                "--jobs auto: is measured on one machine; with --engine ray give a number N: each run takes "
                "one N-th of the threads that it has here, or of a GPU"
            )
        if not dry_run:
            refuse_absent()


HERE = Where()


def engine_for(
    most: int, *, apart: bool, where: Where = HERE, machine: Machine | None = None, watch: Watch | None = None
) -> Engine:
    """What carries so many works out at a time; one alone beside this process only if that is asked for.

    On a grid as many as have room there, each as `machine` says; `watch` hears of the machines.
    """
    if where.engine == "ray":
        from vitbench.benchmark.onray import OnRay

        return OnRay(where.address, machine, watch or Watch())
    return Local(most) if apart or most > 1 else InTurn()
