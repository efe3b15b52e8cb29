"""What answers rest on: the maps that `predict --explain` shows beside them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from vitbench.analysis.nouns import Subject
from vitbench.analysis.saliency import KINDS
from vitbench.data.batches import Evaluation, pixels_of
from vitbench.data.decode import decode
from vitbench.models.folder import LoadedModel
from vitbench.records import Answer, Array, Preprocessing


class Explainer:
    """Makes the maps of every model of a set, picture by picture."""

    def __init__(self, models: Mapping[str, Sequence[LoadedModel]], device: torch.device) -> None:
        self.device = device
        self._subjects = {
            name: [
                Subject(name, one.module.to(device), one.classes, one.preprocessing, "trained")
                for one in together
            ]
            for name, together in models.items()
        }
        reasons = {
            (name, kind.name): kind.why_not(subjects[0])
            for name, subjects in self._subjects.items()
            for kind in KINDS
        }
        self._kinds = {
            name: [kind for kind in KINDS if not reasons[name, kind.name]] for name in self._subjects
        }
        self.refusals = tuple(f"{name}: {kind}: {why}" for (name, kind), why in reasons.items() if why)
        """Maps that there are none of, and why, a line each."""

    def explained(self, answer: Answer) -> Answer:
        """The answer with maps of its class; of several folds' models the mean of theirs."""
        if answer.error:
            return answer
        inputs: dict[Preprocessing, torch.Tensor] = {}
        maps: dict[str, dict[str, Array]] = {}
        for name, subjects in self._subjects.items():
            said = answer.predictions[name][0][0]
            found: dict[str, list[Array]] = {}
            for subject in subjects:
                way = subject.preprocessing
                if way not in inputs:
                    inputs[way] = self._prepared(Path(answer.path), way)
                classes = torch.tensor([subject.classes.index(said)], device=self.device)
                for kind in self._kinds[name]:
                    made = kind.make(subject, inputs[way], classes)[0]
                    found.setdefault(kind.name, []).append(made.cpu().numpy())
            maps[name] = {kind: np.mean(each, axis=0) for kind, each in found.items()}
        return dataclasses.replace(answer, maps=maps)

    def _prepared(self, path: Path, way: Preprocessing) -> torch.Tensor:
        evaluation = Evaluation(way)
        return evaluation.inputs(
            [pixels_of(evaluation.cut(decode(path, meant=way.pixel_range)))], self.device
        )
