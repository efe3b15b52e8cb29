"""`vitbench data augment`: the augmented training views as files, to look at or to use elsewhere."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from vitbench.data.decode import decode
from vitbench.data.epochs import PerClass, plan_epoch
from vitbench.data.folders import distinct_name, new_folder
from vitbench.data.views import draw_view, render
from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.files import printable
from vitbench.records import Augment, Picture, Split

EPOCH = 1
"""The views that training shows first."""


def write_views(
    split: Split,
    out: Path,
    *,
    per_class: PerClass = 200,
    augment: Augment = "geometry",
    flip: bool = True,
    size: int = 224,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the training views of epoch 1 as OUT/<class>/<stem>-<k>.png; returns their number.

    From the train side only. The same crops, turns and colours as in training with this seed, rendered
    from the full pictures. OUT must be empty or new, and outside the data.
    """
    plan = sorted(plan_epoch(split.train, per_class, seed, EPOCH))
    image, opened = None, -1
    with new_folder(out, apart_from=split.root) as folder:
        taken: dict[str, dict[str, int]] = {label: {} for label in split.classes}
        for label in split.classes:
            (folder / label).mkdir()
        for done, (index, k) in enumerate(plan, start=1):
            picture = split.train[index]
            if index != opened or image is None:
                image, opened = _open(split, picture), index
            view = draw_view(seed, EPOCH, picture.sha256, k, picture.width / picture.height, augment, flip)
            name = distinct_name(f"{Path(picture.path).stem}-{k}.png", taken[picture.label])
            Image.fromarray(render(view, image, size)).save(folder / picture.label / name)
            if on_progress:
                on_progress(done, len(plan))
    return len(plan)


def _open(split: Split, picture: Picture) -> Image.Image:
    path = split.root / picture.path
    try:
        return decode(path, meant=split.pixel_range)
    except UnreadableImageError as error:
        raise VitbenchError(f"{printable(path)}: cannot be read any more; run it again") from error
