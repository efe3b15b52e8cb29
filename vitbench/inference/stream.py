"""`predict`: any number of pictures through several models, decoded once, in constant memory."""

import glob
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from vitbench.data.batches import evaluation_transform
from vitbench.data.decode import decode
from vitbench.data.scan import find_images
from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.inference.forward import probabilities
from vitbench.models.folder import LoadedModel
from vitbench.records import Answer, Array, Preprocessing

BATCH = 16
AHEAD = 2
"""Batches that are decoded while the models work on one."""


@dataclass(frozen=True, slots=True)
class Question:
    """One picture to be answered for."""

    path: str
    label: str | None = None
    """Its class folder under a folder that was given whole."""


def collect(sources: Sequence[str]) -> list[Question]:
    """The pictures that files, folders and globs name, in their order; folders recursively.

    A path that is not there stays a question: its answer is an error row. Raises VitbenchError for a
    folder without pictures and a glob without matches.
    """
    found: list[Question] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            found += _of_folder(path)
        elif not path.exists() and glob.has_magic(source):
            matches = sorted(glob.glob(source, recursive=True))  # noqa: PTH207  (Path.glob takes no absolute pattern)
            if not matches:
                raise VitbenchError(f"{source}: matches no file; check the pattern")
            found += [Question(match) for match in matches]
        else:
            found.append(Question(source))
    return found


def answer(
    models: Mapping[str, LoadedModel],
    questions: Iterable[Question],
    device: torch.device,
    top_k: int = 1,
) -> Iterator[Answer]:
    """An `Answer` per question, in order; a picture that cannot be read is an error row.

    Decoding runs in threads ahead of the models; at most (AHEAD + 1) × BATCH pictures are held.
    """
    transforms = {model.preprocessing: evaluation_transform(model.preprocessing) for model in models.values()}
    for model in models.values():
        model.module.to(device)

    def prepare(question: Question) -> dict[Preprocessing, torch.Tensor] | str:
        try:
            picture = decode(Path(question.path))
        except UnreadableImageError as error:
            return str(error)
        return {preprocessing: transform(picture) for preprocessing, transform in transforms.items()}

    with ThreadPoolExecutor() as pool:
        for batch, prepared in _ahead(pool, prepare, questions):
            yield from _answer_batch(models, batch, prepared, device, top_k)


Prepared = dict[Preprocessing, torch.Tensor] | str


def _ahead(
    pool: ThreadPoolExecutor, prepare: Callable[[Question], Prepared], questions: Iterable[Question]
) -> Iterator[tuple[list[Question], list[Prepared]]]:
    waiting: deque[tuple[list[Question], list[Future[Prepared]]]] = deque()
    source = iter(questions)
    while True:
        while len(waiting) <= AHEAD and (batch := list(islice(source, BATCH))):
            waiting.append((batch, [pool.submit(prepare, question) for question in batch]))
        if not waiting:
            return
        batch, futures = waiting.popleft()
        yield batch, [future.result() for future in futures]


def _answer_batch(
    models: Mapping[str, LoadedModel],
    batch: Sequence[Question],
    prepared: Sequence[Prepared],
    device: torch.device,
    top_k: int,
) -> Iterator[Answer]:
    good = [inputs for inputs in prepared if not isinstance(inputs, str)]
    said: dict[str, list[tuple[tuple[str, float], ...]]] = {}
    if good:
        for name, model in models.items():
            stacked = torch.stack([inputs[model.preprocessing] for inputs in good])
            found = probabilities(model.module, [stacked], device)
            said[name] = [_top(row, model.classes, top_k) for row in found]
    place = 0
    for question, inputs in zip(batch, prepared, strict=True):
        if isinstance(inputs, str):
            yield Answer(question.path, {}, question.label, inputs)
            continue
        yield Answer(question.path, {name: rows[place] for name, rows in said.items()}, question.label)
        place += 1


def _top(row: Array, classes: Sequence[str], top_k: int) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-row, kind="stable")[:top_k]
    return tuple((classes[i], float(row[i])) for i in order)


def _of_folder(folder: Path) -> list[Question]:
    pictures = find_images(folder)
    if not pictures:
        raise VitbenchError(f"{folder}: no pictures in it")
    found = []
    for picture in pictures:
        inside = picture.relative_to(folder).parts
        found.append(Question(str(picture), inside[0] if len(inside) > 1 else None))
    return found
