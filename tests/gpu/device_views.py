"""Whether a device makes views as Pillow does, to the last bit, and how long 32 take: a JSON line per way.

    python tests/gpu/device_views.py                  # a card, by Triton and by torch
    python tests/gpu/device_views.py --device cpu     # anywhere by torch; TRITON_INTERPRET=1: by Triton too

Ends with 1 where a value differs, or a way cannot be had.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[number]) for number in (1, 2)]

import numpy as np
import PIL
import torch
from cropped import cases, compare, compare_views
from torch import Tensor

from vitbench.data.device_views import ON_DEVICE, ways
from vitbench.data.resample import Crops

AS_TRAINED = [(488, 366, (0.1, 0.1, 0.85, 0.9), False), (366, 488, (0.2, 0.0, 0.95, 0.8), True)]
"""What a training at 224 px takes its views from, at level geometry: photos stored with a side of 366 px."""


Way = Callable[[Tensor, Crops], Tensor]


def timed(resampled: Way, device: str, count: int, seconds: float) -> list[float]:
    """[ms, ms until it is launched] of so many views of 224 px, from pictures that lie on the device."""
    flat, crops, _ = cases(AS_TRAINED * (count // 2), 224, "bicubic")
    flat, host = flat.to(device), crops.table
    host = host.pin_memory() if device.startswith("cuda") else host

    def work() -> Tensor:
        return resampled(flat, crops.with_table(host.to(device, non_blocking=True)))

    work()
    wait(device)
    began, launched, times = time.perf_counter(), 0.0, 0
    while not times or time.perf_counter() - began < seconds:
        before = time.perf_counter()
        work()
        launched, times = launched + time.perf_counter() - before, times + 1
        if times % 20 == 0:
            wait(device)  # or launches would wait for the card
    wait(device)
    return [round(1000 * each / times, 3) for each in (time.perf_counter() - began, launched)]


def wait(device: str) -> None:
    """Until the device has done all that it was asked for."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def there(device: str) -> dict[str, Way]:
    """The ways in which a device may make views, by name; Triton's interpreter too, where it is on."""
    found = dict(ways(torch.device(device)))
    if os.environ.get("TRITON_INTERPRET") == "1":
        from vitbench.data import resample_triton

        resample_triton.LINES = 64  # each program takes as long, whatever it does
        found["Triton, interpreted"] = resample_triton.resample
    return found


def checked(device: str, values: int, largest: int, count: int, seconds: float) -> Iterator[dict[str, Any]]:
    """What is to be said of every way: from so many values, of pictures up to `largest` px, and views."""
    for name, resampled in there(device).items():
        try:
            found = compare(resampled, values, largest, device)
            levels = {
                level: compare_views(resampled, level, values // 4, largest, device)
                for level in sorted(ON_DEVICE)
            }
            compared = [
                f"{one}, {'height' if turned else 'width'} first" for one, turned in sorted(found.ways)
            ]
            yield {
                "way": name,
                "good": not any(one.differ for one in (found, *levels.values())),
                "values": found.values,
                "differ": found.differ,
                "compared": compared,
                "of whole views": {name: [one.values, one.differ] for name, one in levels.items()},
                f"ms for {count} views, to launch": timed(resampled, device, count, seconds),
            }
        except Exception as error:  # whatever it is, it is the finding
            yield {"way": name, "good": False, "error": f"{type(error).__name__}: {str(error)[:300]}"}


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = "[default: %(default)s]"
    parser.add_argument("--device", default="cuda", help=usual)
    parser.add_argument("--values", type=int, default=100_000_000, help=f"compared, at least {usual}")
    parser.add_argument("--largest", type=int, default=4000, help=f"side of a picture, px {usual}")
    parser.add_argument("--views", type=int, default=32, help=f"timed at once {usual}")
    parser.add_argument("--seconds", type=float, default=1.0, help=f"of timing {usual}")
    asked = parser.parse_args()
    print(json.dumps({"pillow": PIL.__version__, "torch": torch.__version__, "numpy": np.__version__}))
    lines = []
    for line in checked(asked.device, asked.values, asked.largest, asked.views, asked.seconds):
        print(json.dumps(line), flush=True)
        lines.append(line)
    sys.exit(not all(line["good"] for line in lines))


if __name__ == "__main__":
    main()
