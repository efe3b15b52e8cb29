"""LightlyTrain on a folder: `train_image_classification`."""

import lightly_train
from peers_task import MODEL, Task, Told, run


def use(task: Task) -> Told:
    """What a user writes."""
    steps = task.epochs * len(list((task.folder / "train").glob("*/*"))) // 16
    lightly_train.train_image_classification(
        out=task.out / "run",
        data={
            "train": str(task.folder / "train"),
            "val": str(task.folder / "val"),
            "classes": dict(enumerate(task.classes)),
        },
        model=f"timm/{MODEL}",
        model_args={"backbone_args": {"pretrained": True}},
        transform_args={"image_size": (task.px, task.px)},
        steps=steps, batch_size=16, num_workers=0, accelerator="cpu", precision="32-true",
    )  # fmt: skip
    model = lightly_train.load_model(task.out / "run" / "exported_models" / "exported_best.pt")
    answers = {}
    for path in task.test:
        answers[path] = model.classes[int(model.predict(path, topk=1)["labels"][0])]
    return Told(answers)


if __name__ == "__main__":
    run(use)
