"""Which part of a split a folder's name stands for: Training_set, seg_train, train2017, flowers-test."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitbench.records import Part

ENGLISH: Mapping[str, Part] = {
    **dict.fromkeys(("train", "training", "trainval", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}
PART_WORDS: Mapping[str, Part] = {
    **ENGLISH,
    # Chinese, Japanese and Korean, German, Spanish, Portuguese, French
    **dict.fromkeys(
        ("训练", "訓練", "训练集", "訓練集", "학습", "훈련", "trainings", "trainingsdaten"), "train"
    ),
    **dict.fromkeys(("entrenamiento", "treino", "treinamento", "entrainement", "apprentissage"), "train"),
    **dict.fromkeys(("验证", "驗證", "验证集", "驗證集", "検証", "검증", "validierung"), "val"),
    **dict.fromkeys(("validierungs", "validierungsdaten", "validacion", "validacao"), "val"),
    **dict.fromkeys(
        ("测试", "測試", "测试集", "測試集", "テスト", "테스트", "testdaten", "prueba", "teste"), "test"
    ),
}
FILLER = (
    r"(?:(?:data)?sets?|data|images?|imgs?|photos?|pictures?|pics?|samples?|examples?|splits?|subset|parts?"
    r"|folders?|dir|files?|all|jpe?g|png)"
)
"""Words beside a part's that say nothing more."""
WORD = re.compile(rf"{FILLER}?({'|'.join(PART_WORDS)}){FILLER}?")
"""A part's word, alone or grown together with one of those: "testset"."""

LABELS = re.compile(r"labels?|labelled|annotations?|masks?|ground|truth|groundtruth|gt|trimaps?|bbox(es)?")

Family = dict[Part, list[Path]]
"""Folders by the part that they stand for."""


def part_of(name: str) -> tuple[Part, str] | None:
    """The part that a name stands for and what else it says ("" or "flowers"); None where it names no part.

    Words end at signs, digits and where a capital follows a small letter, so "Testudo" and "contest" name
    none. "train_val" is train, as it is in VOC; any other two parts in one name are none.

    >>> part_of("Training_set"), part_of("flowersTest2"), part_of("validated"), part_of("test_tube")
    (('train', ''), ('test', 'flowers'), None, ('test', 'tube'))
    """
    parts: set[Part] = set()
    rest = []
    for word in _words(name):
        if match := WORD.fullmatch(word):
            parts.add(PART_WORDS[match[1]])
        elif not re.fullmatch(FILLER, word):
            rest.append(word)
    if parts == {"train", "val"}:
        parts = {"train"}
    return (parts.pop(), " ".join(rest)) if len(parts) == 1 else None


def says_nothing(name: str) -> bool:
    """True for "images", "data", "2017": a folder between a part and its classes."""
    return all(re.fullmatch(FILLER, word) for word in _words(name))


def holds_labels(name: str) -> bool:
    """True for "labels", "Annotations", "masks": beside "images", what is known of the pictures."""
    return any(LABELS.fullmatch(word) for word in _words(name))


def families(folders: Sequence[Path]) -> dict[str, Family]:
    """The folders that name parts, by what else their names say: those with one rest are parts of one split.

    Where several plain names mean one part and only one of them is the bare word, that one is meant.
    """
    found: dict[str, Family] = defaultdict(lambda: defaultdict(list))
    for folder in folders:
        if named := part_of(folder.name):
            found[named[1]][named[0]].append(folder)
    for family in found.values():
        for part, several in family.items():
            bare = [folder for folder in several if folder.name.lower() in PART_WORDS]
            if len(bare) == 1:
                family[part] = bare
    return {rest: dict(family) for rest, family in found.items()}


def is_split(family: Family) -> bool:
    """True where train and another part are there."""
    return "train" in family and len(family) > 1


def _words(name: str) -> list[str]:
    """The words of a name in lower case, without digits and signs: "MyTrain2017-set" as my, train, set."""
    text = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name))  # accents of Latin letters
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"(?i)\b(hold|held)[-_ ]out", r"\1out", text)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    return re.findall(r"[^\W\d_]+", text.lower())
