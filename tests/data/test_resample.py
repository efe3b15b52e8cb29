"""Pictures resized by integer arithmetic are Pillow's to the last bit, in plain torch and in Triton."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cropped import Compared, Crop, cases, compare, compare_views, drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from vitbench.data.device_views import ON_DEVICE
from vitbench.data.resample import REACH, plan_crops, resample, vertical_first

WHOLE = (0.0, 0.0, 1.0, 1.0)
SHAPES: dict[str, list[Crop]] = {
    "as it is": [(64, 64, WHOLE, False), (64, 64, WHOLE, True)],
    "whole pixels of a larger one": [(128, 256, (0.25, 0.5, 0.75, 0.75), False)],
    "enlarged": [(20, 20, WHOLE, False), (20, 31, (0.1, 0.2, 0.5, 0.9), True)],
    "wide": [(900, 70, WHOLE, False), (640, 480, (0.3, 0.1, 0.9, 0.8), True)],
    "tall": [(70, 900, WHOLE, False), (70, 900, WHOLE, True), (100, 200, (0.2, 0.0, 0.8, 0.7), True)],
    "at the edge of the order": [(164, 264, WHOLE, False), (164, 265, WHOLE, False)],
    "narrower than it becomes": [(30, 64, WHOLE, False), (30, 65, WHOLE, False)],
    "a strip": [(21, 2101, (0.1, 0.0, 0.8, 0.9), False)],
    "one pixel of the box": [(300, 300, (0.5, 0.5, 0.5034, 0.5034), False)],
}


@pytest.mark.parametrize("interpolation", REACH)
@pytest.mark.parametrize("shape", SHAPES)
def test_pillows_bytes(shape: str, interpolation: str) -> None:
    """What is taken as it is, enlarged, shrunk, wide, tall and mirrored, at 64 px."""
    flat, crops, wanted = cases(SHAPES[shape], 64, interpolation)
    assert np.array_equal(resample(flat, crops).numpy(), wanted)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(64, 160),
    count=st.integers(1, 3),
    interpolation=st.sampled_from(sorted(REACH)),
)
def test_any_crops(seed: int, size: int, count: int, interpolation: str) -> None:
    """Whatever is cut from pictures of whatever sizes, in one batch."""
    flat, crops, wanted = cases(drawn(np.random.default_rng(seed), count, 500), size, interpolation)
    assert np.array_equal(resample(flat, crops).numpy(), wanted)


def test_pictures_go_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many are worked on at a time changes nothing; of none there are none."""
    flat, crops, wanted = cases(drawn(np.random.default_rng(1), 5, 200), 64, "bicubic")
    monkeypatch.setattr("vitbench.data.resample.AT_ONCE", 2)
    assert np.array_equal(resample(flat, crops).numpy(), wanted)
    nothing = np.zeros((0, 4))
    sides = nothing[:, :2].astype(int)
    none = plan_crops(sides, nothing[:, 0], nothing, sides, nothing[:, 0], "bicubic")
    assert len(resample(flat[:0], none)) == 0


def test_the_order_of_the_passes() -> None:
    """Pillow 13 takes the height first where it shrinks by more than twice as much, 12.2 only in strips."""
    sides = np.array([(164, 264), (164, 265), (30, 65), (900, 900), (30, 3001)])
    made = np.full_like(sides, 64)
    assert vertical_first(sides, made, "13.0.0").tolist() == [False, True, True, False, True]
    assert vertical_first(sides, made, "12.2.0").tolist() == [False, False, False, False, True]
    assert not vertical_first(sides, made, "12.1.1").any()


@pytest.mark.slow
def test_tens_of_millions_of_values() -> None:
    """Pictures of 20 to 4,000 px, at 64 to 384 px, both orders of the passes: 0 values differ."""
    equal(compare(resample, 50_000_000))


def equal(found: Compared) -> None:
    """No value differs, and both interpolations were compared in each order that this Pillow has."""
    print(f"{found.values} values, {found.differ} differ; {sorted(found.ways)}")
    assert found.differ == 0
    orders = 2 if vertical_first(np.array([(1, 999)]), np.array([(64, 64)])).any() else 1
    assert len(found.ways) == orders * len(REACH)


# --- the kernels ----------------------------------------------------------------------------------


def interpreted(what: str) -> None:
    """Call a function of this file, in a process in which Triton interprets its kernels on the CPU."""
    pytest.importorskip("triton")
    here = Path(__file__)
    there = {**os.environ, "TRITON_INTERPRET": "1"}
    places = [str(here.parent), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    there["PYTHONPATH"] = os.pathsep.join(places)
    code = f"import {here.stem}; {here.stem}.{what}()"
    done = subprocess.run([sys.executable, "-c", code], env=there, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-2000:]


def compare_kernels() -> None:
    """Both orders of the passes, shrunk and enlarged, mirrored or not, at a size that is no power of two."""
    from vitbench.data import resample_triton

    resample_triton.LINES = 64  # for an interpreter each program takes as long
    found = compare_views(resample_triton.resample, "light", 40_000, largest=100, sizes=(64, 73))
    assert found.differ == 0
    crops = [(90, 70, (0.1, 0.2, 0.9, 0.7), True), (70, 300, WHOLE, False), (30, 40, WHOLE, True)]
    for interpolation in REACH:
        flat, planned, wanted = cases(crops, 72, interpolation)
        assert np.array_equal(resample_triton.resample(flat, planned).numpy(), wanted)


def compare_many_kernels() -> None:
    """Pictures of 20 to 4,000 px, at 64 to 384 px, as plain torch is tested."""
    from vitbench.data import resample_triton

    resample_triton.LINES = 64
    equal(compare(resample_triton.resample, 10_000_000))
    for level in sorted(ON_DEVICE):
        equal(compare_views(resample_triton.resample, level, 3_000_000))


@pytest.mark.slow
def test_kernels_give_pillows_bytes() -> None:
    """What an NVIDIA card would run, bicubic and bilinear."""
    interpreted("compare_kernels")


@pytest.mark.slow
def test_kernels_on_millions_of_values() -> None:
    """0 values of ten million differ."""
    interpreted("compare_many_kernels")


@pytest.mark.slow
def test_compiled_for_a_card_no_operations_are_fused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fma in float64, which rounds differently, for an H100; as Triton compiles by default there are."""
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget

    from vitbench.data import resample_triton

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    types = {"table": "*fp64", **dict.fromkeys(("first", "weights"), "*i32")}
    types |= dict.fromkeys(("pixels", "between", "made"), "*u8") | dict.fromkeys(
        ("size", "taps", "rows"), "i32"
    )
    fixed = {"cubic": True, "reach": 2, "block": 256, "lines": resample_triton.LINES}

    def fused(kernel: Any, **options: bool) -> int:
        """How many fused operations there are in a kernel's assembly, compiled by these options."""
        names = kernel.arg_names
        source = triton.compiler.ASTSource(
            fn=kernel,
            signature={name: types.get(name, "constexpr") for name in names},
            constexprs={(place,): fixed[name] for place, name in enumerate(names) if name in fixed},
        )
        compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        return len(re.findall(r"fma\.rn\.f64", compiled.asm["ptx"]))

    kernels = resample_triton._weigh, resample_triton._along, resample_triton._across
    assert [fused(kernel, **resample_triton.EXACT) for kernel in kernels] == [0, 0, 0]
    assert fused(resample_triton._weigh) > 0
