"""Weights do not depend on the store, or on how many threads prepare the pictures."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.data import batches, made
from vitbench.records import Benchmark

pytestmark = pytest.mark.usefixtures("no_reports")


def weights(benchmark: Benchmark) -> str:
    content = (benchmark.runs[0].folder / "model" / "model.safetensors").read_bytes()
    return hashlib.sha256(content).hexdigest()


@pytest.mark.slow
def test_the_same_bytes_with_and_without_the_store_and_any_workers(
    tmp_path: Path, trained: Callable[..., Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, store = "test_vit", str(tmp_path / "store")
    found = [weights(trained(name="without", models=one, store=False))]
    found.append(weights(trained(name="cold", models=one, store_dir=store)))

    def refuse(*given: object) -> object:
        raise AssertionError("decoded again")

    monkeypatch.setattr(batches, "decoded", refuse)
    monkeypatch.setattr(made, "decoded", refuse)
    found += [
        weights(trained(name=f"w{workers}", models=one, store_dir=store, workers=workers))
        for workers in (None, 0, 1, 2)
    ]
    assert len(set(found)) == 1
