"""What a model begins with: found by `models.weights`, read by `models.create`."""

from dataclasses import dataclass
from pathlib import Path

from vitbench.records import Fingerprints, Origin
from vitbench.records.fingerprints import NOT_KNOWN, NOTHING


@dataclass(frozen=True)
class InitialWeights:
    """What one model starts from."""

    origin: Origin
    path: Path | None
    """The safetensors file; None for random weights."""
    label: str
    """For people, in tables: "pretrained (IN-1k)", "random", "file NAME", "model NAME"."""
    note: str = ""
    """A fallback that must be said loudly, or ""."""
    classes: tuple[str, ...] = ()
    """Class names of a saved model, in the order of its head; () elsewhere."""

    def learned_from(self) -> Fingerprints:
        """The pictures that weights of one's own learned from; none are known of published ones."""
        if self.origin.kind in ("random", "hub") or self.path is None:
            return NOTHING
        return (
            Fingerprints.beside_model(self.path.parent)
            if self.path.name == "model.safetensors"
            else NOT_KNOWN
        )


RANDOM = InitialWeights(Origin(kind="random"), None, "random")
