"""What is asked for: every value that a type lets through and a later line would break on is refused."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from vitbench.cli.declared import named_settings
from vitbench.errors import UsageError
from vitbench.records import Settings

NUMBERS = (
    "batch_size",
    "epochs",
    "micro_batch",
    "patience",
    "pretrain_epochs",
    "mask_size",
    "workers",
    "tune",
)
REALS = ("lr", "mixup", "cutmix", "drop_path", "ema", "burst_seconds", "alpha", "tau", "mask_ratio")


@pytest.mark.parametrize(
    "field", [*NUMBERS, *REALS, "per_class", "image_size", "folds", "split_seed", "seeds"]
)
def test_a_number_is_a_number_that_can_be_meant(field: str) -> None:
    """Neither True nor a text, nor one too large for any generator or loop; the message names the option."""
    for value in (True, "3", -1, 10**400, float("nan"), float("inf"), [], {}, [[1]], [{}]):
        with pytest.raises(UsageError, match=f"--{field.replace('_', '-')}[ :]") as caught:
            Settings.of({field: value})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", Settings.model_fields)
def test_no_value_is_a_traceback(field: str) -> None:
    """Whatever a TOML file or a Python call holds, it is taken or refused with a `UsageError`."""
    for value in (True, 10**400, -(10**400), [[1]], [{}], {"a": [[1]]}, b"\xff", object(), ""):
        with contextlib.suppress(UsageError):
            Settings.of({field: value})


def test_the_message_says_what_would_do() -> None:
    """The value as it was written, and every kind of value that the option takes."""
    with pytest.raises(UsageError) as caught:
        Settings.of({"per_class": True})
    assert str(caught.value) == "--per-class True: should be a whole number from 1 to 1000000, or all"
    with pytest.raises(UsageError, match="from 0 to 4294967295"):
        Settings.of({"seeds": [0, 2**32]})


def test_numbers_of_numpy_and_paths_are_taken() -> None:
    """`seeds=np.int64(3)`, `range(3)` and `Path` objects are what they look like."""
    settings = Settings.of(
        {"seeds": np.int64(3), "epochs": np.int32(2), "store_dir": Path("a"), "weights": Path("b")}
    )
    assert (settings.seeds, settings.epochs, settings.store_dir, settings.weights) == ((3,), 2, "a", ("b",))
    assert Settings.of({"seeds": range(3)}).seeds == (0, 1, 2)
    with pytest.raises(ValidationError):
        Settings.model_validate({"seeds": (True, 1)})


TOML = 'epochs = 3\r\nmodels = ["vit"]\r\nper-class = "all"\r\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_config_file_of_any_editor_is_read(encoding: str, tmp_path: Path) -> None:
    """With a byte order mark, lines that end in CR LF, as UTF-16 with its mark; without it, it is refused."""
    path = tmp_path / "a.toml"
    path.write_bytes(TOML.encode(encoding))
    if encoding == "utf-16-le":
        with pytest.raises(UsageError, match="not TOML"):
            named_settings({"config": path})
    else:
        asked = named_settings({"config": path})
        assert asked.model_dump(exclude_unset=True) == {"epochs": 3, "models": ("vit",), "per_class": "all"}


@pytest.mark.parametrize(
    "line",
    [
        *("epochs = true", "per_class = true", "image_size = 2.7", "folds = true", "seeds = true"),
        *("seeds = [true]", "lr = nan", "lr = 1e400", "models = [[1]]", "epochs = 2024-01-01"),
        *("arms.a.epochs = true", "seeds = '1,99999999999'"),
    ],
)
def test_a_config_file_cannot_slip_a_value_in(line: str, tmp_path: Path) -> None:
    """What is no number is none in a TOML file either."""
    path = tmp_path / "a.toml"
    path.write_text(line)
    with pytest.raises(UsageError, match=line.split(" ")[0].split(".")[0].replace("_", "-")):
        named_settings({"config": path})


def test_what_can_be_left_out() -> None:
    """One technique or several, each once; "none" takes back what a benchmark or a TOML file says."""
    assert Settings.of({"without": ["tf32", "cuda_graphs", "tf32"]}).without == ("tf32", "cuda_graphs")
    assert Settings.of({"without": "tf32"}).without == ("tf32",)
    assert Settings.of({"without": "none"}).without == ()
    with pytest.raises(UsageError, match=r"--without float64: should be device_views, cuda_graphs"):
        Settings.of({"without": "float64"})
