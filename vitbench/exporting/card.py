"""The model card: what the model is, from which data, how good, how sure, and what it cannot tell."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitbench.files import printable
from vitbench.narrative.words import p_text
from vitbench.records import percent

MOST_CLASSES = 50
"""That the card names; all stand in the file's metadata."""


def score_line(test: Mapping[str, Any]) -> str:
    """The accuracy with its interval, or why there is none."""
    if test["top1"] is None:
        return (
            "No score of its own: it learned from all pictures, none was left to test it. The folds of its "
            "run, trained the same way, say what to expect."
        )
    groups = f", in {test['groups']} groups that count as dependent" if test["groups"] else ""
    return (
        f"{percent(test['top1'])} % of {test['n']} test pictures right ({test['correct']}), 95 % interval "
        f"{percent(test['top1_low'])} to {percent(test['top1_high'])} %{groups}."
    )


def int8_line(against: Mapping[str, Any] | None, test: Mapping[str, Any]) -> str:
    """The paired test of int8 against fp32; "" for fp32."""
    if against is None:
        return ""
    points = [100 * against[name] for name in ("difference", "low", "high")]
    return (
        f"int8 against fp32 on the same pictures: {percent(test['top1'])} against "
        f"{percent(against['fp32_top1'])} %, {points[0]:+.1f} points "
        f"({points[1]:+.1f} to {points[2]:+.1f}, {p_text(against['p'])}, paired test); "
        f"same answer for {against['agreed']} of {test['n']}, largest difference of a probability "
        f"{against['largest_difference']:.2g}; {against['mb']:.1f} of {against['fp32_mb']:.1f} MB, "
        f"{against['ms']:.1f} of {against['fp32_ms']:.1f} ms for one picture."
    )


def card(about: Mapping[str, Any], manifest: Mapping[str, Any], init: str, limits: Sequence[str]) -> str:
    """README.md in the form of the Hugging Face hub: YAML in front, then Markdown.

    about: `export.json`; manifest: `benchmark.json`; init: what the network began with, in words.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown
    )
    way = about["preprocessing"]
    data = Path(manifest["data"]).name
    return str(
        environment.get_template("card.md.j2").render(
            front=_front(about, data),
            about=about,
            title=f"Names what a picture shows, after training on the pictures of “{printable(data)}” "
            f"with vitbench {about['vitbench']}.",
            init=init,
            classes=_named(about["classes"]),
            way=way,
            size=way["size"],
            resize=about["resize"],
            data={"pictures": _data_line(data, manifest), "notes": manifest["split"].get("notes", ())},
            score=score_line(about["test"]),
            test=about["test"],
            int8=int8_line(about["against_fp32"], about["test"]),
            limits=[*limits, *LIMITS],
        )
    )


LIMITS = (
    "It knows its classes only: a picture of anything else gets one of them too, often with a high "
    "probability.",
    "The test pictures come from the same folder as those that it learned from. On pictures from elsewhere, "
    "of other cameras, places or seasons, it may be worse, and nothing here tells by how much.",
    "A probability is what the network says, not how often it is right; nothing was calibrated.",
    "Nobody has looked at whom its mistakes would hurt. Do so before it decides anything about people.",
)


def _named(classes: Sequence[str]) -> str:
    named = ", ".join(printable(name) for name in classes[:MOST_CLASSES])
    return f"{named}, …" if len(classes) > MOST_CLASSES else named


def _data_line(data: str, manifest: Mapping[str, Any]) -> str:
    split = manifest["split"]
    if split.get("folds"):
        return (
            f"“{printable(data)}”: {split['n_test']} pictures, each tested once by a model of "
            f"{split['folds']} that did not learn from it. {split['rule']}."
        )
    return (
        f"“{printable(data)}”: {split['n_train']} pictures to learn from, {split['n_val']} to choose the "
        f"epoch, {split['n_test']} to report on. {split['rule']}."
    )


def _front(about: Mapping[str, Any], data: str) -> str:
    """The YAML that the hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    test, results = about["test"], []
    if test["top1"] is not None:
        results.append(
            EvalResult(
                task_type="image-classification",
                dataset_type="private",
                dataset_name=f"{data} (test)",
                metric_type="accuracy",
                metric_value=round(test["top1"], 4),
                metric_name=f"top-1, 95 % interval {test['top1_low']:.4f} to {test['top1_high']:.4f}",
            )
        )
    found = ModelCardData(
        library_name="onnx" if about["format"] == "onnx" else "pytorch",
        pipeline_tag="image-classification",
        tags=["image-classification", "vitbench", about["format"], about["precision"]],
        base_model=about["base_model"] or None,
        metrics=["accuracy"] if results else None,
        model_name=about["name"],
        eval_results=results or None,
    )
    return f"---\n{found.to_yaml()}\n---"
