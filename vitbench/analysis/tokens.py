"""How much attention patches give to tokens that are no patches: class, distillation and register tokens."""

from torch import Tensor, nn

from vitbench.analysis.before import beside_before
from vitbench.analysis.layout import layouts, why_not
from vitbench.analysis.looking import seeing
from vitbench.analysis.nouns import Analysis, Finding, Pictures, Subject
from vitbench.records.frames import Dtype, by_rows

COLUMNS: dict[str, Dtype] = {
    "layer": "Int64", "block": "string", "head": "Int64", "token": "string", "mass": "float64",
}  # fmt: skip


def names_of(model: nn.Module) -> list[str]:
    """What the tokens before the patches are called, in their order: ["cls", "dist", "register 1", …]."""
    known = [name for name in ("cls", "dist") if getattr(model, f"{name}_token", None) is not None]
    others = int(getattr(model, "num_prefix_tokens", 0)) - len(known)
    return [*known, *(f"register {number}" for number in range(1, others + 1))]


def look(subject: Subject, pictures: Pictures) -> Finding:
    """`token_mass`: a row per block, head and token: the share that patches give it, mean over them."""

    def measure(model: nn.Module) -> Finding:
        places, sums = layouts(model), dict[str, Tensor]()

        def add(name: str, probabilities: Tensor) -> None:
            prefix = places[name].prefix
            mass = probabilities[:, :, prefix:, :prefix].mean(2).sum(0)  # (heads, tokens)
            sums[name] = sums[name] + mass if name in sums else mass

        with seeing(model, add):
            for _, batch in pictures.batches():
                model(batch)
        names = names_of(model)
        rows = [
            (layer, block, head, name, float(share) / len(pictures.names))
            for layer, (block, masses) in enumerate(sums.items(), start=1)
            for head, each in enumerate(masses, start=1)
            for name, share in zip(names, each, strict=True)
        ]
        return Finding({"token_mass": by_rows(COLUMNS, rows)})

    found = beside_before(subject, measure)
    table = found.frames["token_mass"].copy()
    layout = next(iter(layouts(subject.module).values()))
    table["mass_uniform"] = 1 / layout.places.numel()
    return Finding({"token_mass": table}, notes=found.notes)


def why_none(subject: Subject) -> str:
    """ "" where there are such tokens, and attention to them can be read."""
    if reason := why_not(subject):
        return reason
    return "" if names_of(subject.module) else "has no tokens but its patches"


TOKEN_MASS = Analysis(
    name="token_mass",
    title="Attention to the class token",
    sees="Which share of a patch's attention goes to the class token and to others that are no patches, per "
    "layer and head, beside what uniform attention would give.",
    does_not_prove="That patches learn something from them: heads with nothing to look for often rest on a "
    "token whose value says little.",
    applies=why_none,
    look=look,
    compares=True,
)
