"""`predict`: any number of pictures through several models, decoded once, in constant memory."""

import contextlib
import glob
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitbench.data.batches import Evaluation, pixels_of
from vitbench.data.decode import Decoded, decode_in_full, picture_bytes
from vitbench.data.kinds import unread_notes, what_was_found
from vitbench.data.prefetch import cores, in_batches
from vitbench.data.scan import find_images
from vitbench.data.walk import Walk
from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.files import printable
from vitbench.inference.forward import probabilities
from vitbench.models.exported import ExportedModel
from vitbench.models.folder import LoadedModel
from vitbench.records import Answer, Array, PixelRange, Preprocessing
from vitbench.records.fingerprints import Found

LEAST, MOST = 16, 128
"""Pictures in a batch: at 224 px and more, and at most. On a CPU timm's test_vit at 64 px answers
nearly twice as fast for 128 at once as for 16 (0.25 and 0.47 ms a picture); vit_tiny gains
little from 32 on."""


Answering = LoadedModel | ExportedModel
"""A model that answers: a network, or a file that was made of one."""
Recognise = Callable[[str, Image.Image], Found | None]
"""From the sha256 of a file and its decoded picture to what is known of it."""


@dataclass(frozen=True, slots=True)
class Question:
    """One picture to be answered for."""

    path: str
    label: str | None = None
    """The folder it lies in: its class, where that is the name of one."""


def collect(sources: Sequence[str], on_event: Callable[[str], None] = lambda _: None) -> list[Question]:
    """The pictures that files, folders and globs name, in their order; folders recursively.

    A path that is not there and a glob without matches stay questions: their answers are error rows.
    What is passed over in a folder, for a program wrote it, is told to `on_event`. Raises VitbenchError for a
    folder without pictures.
    """
    found: list[Question] = []
    for source in sources:
        for path in _meant(source):
            found += _of_folder(Path(path), on_event) if _is_folder(path) else [_of_file(path)]
    return found


def _is_folder(path: str) -> bool:
    """False also for what can be no path."""
    return os.path.isdir(path)  # noqa: PTH112


def _meant(source: str) -> list[str]:
    """The files and folders that a source names; itself where it is there, or nothing is found.

    A shell that was kept from expanding a pattern, or has no patterns (Windows), is stood in for: "~" is the
    user's home, and a folder that is matched with what lies in it is named by the latter alone.
    """
    if os.path.lexists(source):
        return [source]
    pattern = os.path.expanduser(source)  # noqa: PTH111  (Path would take "./" away)
    with contextlib.suppress(OSError, ValueError):  # a null byte, which no path has
        found = _matches(pattern)
        above = {str(folder) for path in found for folder in Path(path).parents}
        return [path for path in found if str(Path(path)) not in above] or [source]
    return [source]


def _matches(pattern: str) -> list[str]:
    """What a glob finds, sorted. A part of it that is the name of a file or folder there is that name.

    So "shots [1]/*.jpg" finds what lies in the folder "shots [1]".
    """
    root = Path(pattern).anchor
    places = {root}
    for part in pattern[len(root) :].replace(os.sep, "/").split("/"):
        places = {found for place in places for found in _step(place, part)}
    return sorted(places)


def _step(place: str, part: str) -> list[str]:
    """Where one part of a path or glob leads from a place."""
    literal = os.path.join(place, part)  # noqa: PTH118  (Path would take "./" away)
    if os.path.lexists(literal) or not part:
        return [literal if part else place]
    if not glob.has_magic(part):
        return []
    return glob.glob(os.path.join(glob.escape(place), part), recursive=True)  # noqa: PTH118, PTH207


def answer(
    models: Mapping[str, Sequence[Answering]],
    questions: Iterable[Question],
    device: torch.device,
    top_k: int = 1,
    recognise: Recognise | None = None,
) -> Iterator[Answer]:
    """An `Answer` per question, in order; a picture that cannot be read is an error row.

    `models`: by the name they answer under; several of one name answer by the mean of their probabilities.
    `recognise` says of a picture whether the models' own data holds it. Decoding runs in threads
    ahead of the models; only a few batches are held, however many pictures there are.
    """
    every = [model for together in models.values() for model in together]
    evaluations = {model.preprocessing: Evaluation(model.preprocessing) for model in every}
    ranges = tuple(dict.fromkeys(key.pixel_range for key in evaluations))
    for model in every:
        if isinstance(model, LoadedModel):
            model.module.to(device)

    def prepare(question: Question) -> Prepared:
        try:
            content = picture_bytes(Path(question.path))
            pictures = {meant: _decoded(content, meant) for meant in ranges}
        except UnreadableImageError as error:
            return Prepared(question, str(error))
        first = pictures[ranges[0]]
        found = recognise(hashlib.sha256(content).hexdigest(), first.image) if recognise else None
        cuts = {key: pixels_of(one.cut(pictures[key.pixel_range].image)) for key, one in evaluations.items()}
        return Prepared(question, "", found, cuts, first, ranges[0] is None)

    def prepare_some(some: Sequence[Question]) -> list[Prepared]:
        return [prepare(question) for question in some]

    size = batch_size(max(key.size for key in evaluations))
    batches = _in_handfuls(iter(questions), size, size // LEAST)
    for handfuls in in_batches(prepare_some, batches, workers=cores()):
        prepared = list(chain.from_iterable(handfuls))
        readable = [one for one in prepared if not one.error]
        said = _said(models, evaluations, readable, device, top_k) if readable else {}
        yield from _answer_batch(models, prepared, said)


def _decoded(content: bytes, meant: PixelRange | None) -> Decoded:
    """A picture; `UnreadableImageError` too where nothing says what is black and white in it."""
    decoded = decode_in_full(content, meant)
    if meant is None and decoded.held is not None and decoded.held.low < 0:
        raise UnreadableImageError(
            f"values from {decoded.held.low:g}; say what is black and white: "
            f"--pixel-range {decoded.held.option}"
        )
    return decoded


def batch_size(side: int) -> int:
    """How many pictures of so many px a side are answered for at once: as much memory, whatever the side."""
    return max(LEAST, min(MOST, LEAST * 224**2 // side**2))


def _in_handfuls(questions: Iterator[Question], size: int, some: int) -> Iterator[list[list[Question]]]:
    """Batches of `size`, in parts of `some`: a thread is woken for several small pictures at a time."""
    while batch := list(islice(questions, size)):
        yield [batch[start : start + some] for start in range(0, len(batch), some)]


@dataclass(frozen=True)
class Prepared:
    """A question with its picture as each model wants it, uint8, or with the reason why there is none."""

    question: Question
    error: str
    found: Found | None = None
    cuts: Mapping[Preprocessing, torch.Tensor] = field(default_factory=dict)
    decoded: Decoded | None = None
    """As the first model sees it."""
    assumed: bool = False
    """What is black and white in more than 8 bits, the model does not say."""


Said = Mapping[str, Sequence[tuple[tuple[str, float], ...]]]
"""By the name of a model, the best classes of each picture with their probabilities."""


def _said(
    models: Mapping[str, Sequence[Answering]],
    evaluations: Mapping[Preprocessing, Evaluation],
    readable: Sequence[Prepared],
    device: torch.device,
    top_k: int,
) -> Said:
    """What every model says of some pictures."""
    pixels = {key: [each.cuts[key] for each in readable] for key in evaluations}
    networks = {
        one.preprocessing for every in models.values() for one in every if isinstance(one, LoadedModel)
    }
    inputs = {key: evaluations[key].inputs(pixels[key], device) for key in networks}
    said = {}
    for name, together in models.items():
        classes = together[0].classes
        each = [_probabilities(model, classes, pixels, inputs, device) for model in together]
        said[name] = [_top(row, classes, top_k) for row in np.mean(each, axis=0)]
    return said


def _answer_batch(
    models: Mapping[str, Sequence[Answering]], batch: Sequence[Prepared], said: Said
) -> Iterator[Answer]:
    known = {label for together in models.values() for label in together[0].classes}
    place = 0
    for one in batch:
        label = one.question.label if one.question.label in known else None
        if one.error:
            yield Answer(one.question.path, {}, label, one.error)
            continue
        answers = {name: rows[place] for name, rows in said.items()}
        part, near = (one.found.part, one.found.near) if one.found else (None, False)
        assert one.decoded is not None
        held, shown = one.decoded.held, one.decoded.shown
        yield Answer(
            one.question.path,
            answers,
            label,
            seen=part,
            near=near,
            held=held,
            shown=shown,
            assumed=one.assumed and held is not None,
            several=one.decoded.several,
        )
        place += 1


def _probabilities(
    model: Answering,
    classes: Sequence[str],
    pixels: Mapping[Preprocessing, Sequence[torch.Tensor]],
    inputs: Mapping[Preprocessing, torch.Tensor],
    device: torch.device,
) -> Array:
    """(N, C): what one model says, its classes put in the order of `classes` by their names.

    An exported one takes pixels as they are, a network normalised inputs.
    """
    way = model.preprocessing
    if isinstance(model, ExportedModel):
        found = model.answers(torch.stack(list(pixels[way])).numpy())[0]
    else:
        found = probabilities(model.module, [inputs[way]], device)
    return found[:, [model.classes.index(name) for name in classes]]


def _top(row: Array, classes: Sequence[str], top_k: int) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-row, kind="stable")[:top_k]
    return tuple((classes[i], float(row[i])) for i in order)


def _of_file(path: str) -> Question:
    return Question(path, Path(path).parent.name or None)


def _of_folder(folder: Path, on_event: Callable[[str], None]) -> list[Question]:
    walked = Walk()
    pictures = find_images(folder, walked)
    if walked.left_out:
        on_event(walked.left_out_note(folder))
    for note in unread_notes(walked):
        on_event(note)
    if not pictures:
        raise VitbenchError(f"{printable(folder)}: no pictures in it{what_was_found(walked)}")
    found = []
    for picture in pictures:
        inside = picture.relative_to(folder).parts
        found.append(Question(str(picture), inside[0] if len(inside) > 1 else None))
    return found
