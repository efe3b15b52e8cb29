"""What each network says of the pictures that are shown."""

import torch

from vitbench.analysis.gradcam import NO_HEAD
from vitbench.analysis.looking import looking
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.records.frames import Dtype, by_rows

COLUMNS: dict[str, Dtype] = {
    "picture": "Int64", "name": "string", "label": "string", "answered": "string", "probability": "float64",
    "label_probability": "float64",
}  # fmt: skip


def look(subject: Subject, pictures: Pictures) -> Finding:
    """`answers`: a row per picture, numbered from 1 as maps are."""
    rows = []
    for places, batch in pictures.batches():
        with looking(subject.module), torch.no_grad():
            chances = subject.module(batch).float().softmax(-1).tolist()
        for place, chance in zip(places, chances, strict=True):
            said, label = max(range(len(chance)), key=chance.__getitem__), int(pictures.labels[place])
            known = (subject.classes[label], chance[label]) if label >= 0 else (None, None)
            name = pictures.names[place]
            rows.append((place + 1, name, known[0], subject.classes[said], chance[said], known[1]))
    return Finding({"answers": by_rows(COLUMNS, rows)})


ANSWERS = Analysis(
    name="answers",
    title="What each network says",
    sees="The class that each network names for each picture, and how sure it is.",
    does_not_prove="Anything about other pictures: these were chosen because the networks disagree on them.",
    applies=lambda subject: "" if subject.classes else NO_HEAD,
    look=look,
)
