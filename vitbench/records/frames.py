"""Tables as pandas frames, typed by their columns; pandas is imported when the first one is made."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vitbench import files

if TYPE_CHECKING:
    from pandas import DataFrame

Dtype = Literal["string", "Int64", "float64", "boolean"]
"""Text is text, also "007", "nan" and "True"; whole numbers and truth values may be missing."""


def frame(columns: Mapping[str, Dtype], cells: Iterable[Iterable[Any]]) -> "DataFrame":
    """A frame of these columns, the cells of each one after the other; None: missing."""
    import pandas

    # With pyarrow installed "string" is its own, which takes no file name that is not valid Unicode.
    text = pandas.StringDtype("python")
    series = [
        pandas.Series(list(column), dtype=text if dtype == "string" else dtype)
        for dtype, column in zip(columns.values(), cells, strict=True)
    ]
    found = pandas.concat(series, axis=1)
    found.columns = pandas.Index(list(columns), dtype=object)  # as they are: a name may be "nan"
    return found


def by_rows(columns: Mapping[str, Dtype], rows: Iterable[Iterable[Any]]) -> "DataFrame":
    """A frame of these columns, row by row."""
    return frame(columns, list(zip(*rows, strict=True)) or [()] * len(columns))


def rows_of_frame(table: "DataFrame") -> list[dict[str, Any]]:
    """Its rows by column, None for what is missing."""
    return list(table.astype(object).where(table.notna(), None).to_dict("records"))


def write_frames(frames: Mapping[str, "DataFrame"], folder: Path) -> None:
    """Write each as NAME.csv into a folder."""
    for name, table in frames.items():
        files.write_text(folder / f"{name}.csv", frame_csv(table))


def frame_csv(table: "DataFrame") -> str:
    """The frame as `files.csv_text` writes a table: missing cells are empty, floats keep every digit."""
    cells = [column.to_numpy(dtype=object, na_value=None) for _, column in table.items()]
    return files.csv_of(list(map(str, table.columns)), zip(*cells, strict=True))
