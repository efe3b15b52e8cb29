"""fastai on a folder: `fine_tune`, as its documentation has it."""

from pathlib import Path

from fastai.vision.all import ImageDataLoaders, Resize, accuracy, aug_transforms, vision_learner
from peers_task import MODEL, Task, Told, run


def use(task: Task) -> Told:
    """What a user writes."""
    data = ImageDataLoaders.from_folder(
        task.folder, train="train", valid="val", bs=16, num_workers=0,
        item_tfms=Resize(2 * task.px), batch_tfms=aug_transforms(size=task.px),
    )  # fmt: skip
    learner = vision_learner(data, MODEL, metrics=accuracy)
    learner.fine_tune(task.epochs)
    test = data.test_dl([Path(one) for one in task.test], with_labels=True)
    probabilities, _ = learner.get_preds(dl=test)
    answers = [data.vocab[int(one)] for one in probabilities.argmax(1)]
    own = learner.validate(dl=test)[1]
    return Told(dict(zip(task.test, answers, strict=True)), own)


if __name__ == "__main__":
    run(use)
