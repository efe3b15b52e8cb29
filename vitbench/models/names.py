"""The model that a name probably means, where timm knows none so called: what to answer a wrong name with.

Other tools spell the same networks differently (torchvision `vit_b_16`, transformers
`facebook/deit-tiny-patch16-224`, Keras `EfficientNetB0`). A name is cut into words, and those of timm's
names that hold most of them are near. Nothing here needs torch.
"""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence

SIZES = {
    "t": "tiny",
    "ti": "tiny",
    "s": "small",
    "m": "medium",
    "b": "base",
    "l": "large",
    "h": "huge",
    "g": "giant",
}
ORDER = ("atto", "femto", "pico", "nano", "tiny", "small", "medium", "base", "large", "huge", "giant")
"""Of several that are equally near the smallest is named first."""
USUAL = ("224", "100")
"""Ends of the usual sizes: pixels, or percent of a width."""

SPELLINGS: tuple[tuple[str, str], ...] = (
    (r"^(hf[-_]hub|timm|hub|torchvision|keras|transformers)[:./]", ""),
    (r"^[^/]+/(?=[^/]*[a-z])", ""),  # the owner on the Hugging Face hub, not the 16 of ViT-B/16
    (r"[_.]weights$|[-_]cls$", ""),
    (r"regnet_?([xy])_?1_6gf", r"regnet\1_016"),
    (r"regnet_?([xy])_?3_2gf", r"regnet\1_032"),
    (r"regnet_?([xy])_?(\d)00mf", r"regnet\1_00\2"),
    (r"regnet_?([xy])_?(\d\d)gf", r"regnet\1_\g<2>0"),
    (r"regnet_?([xy])_?(\d)gf", r"regnet\1_0\g<2>0"),
    (r"resnet(\d+)v2", r"resnetv2_\1"),
    (r"resnet_?(\d+)_?(\d+)x(\d+)d", r"resnext\1_\2x\3d"),
    (r"(mnasnet|mobilenet_?v?\d?)1_0", r"\1_100"),
    (r"dinov2(.*)_reg\b", r"dinov2\1_reg4"),
    (r"dinov2(.*)registers", r"dinov2\1reg4"),
    (r"\bdino_", ""),
    (r"vision_?transformer", "vit"),
)
"""Patterns over a lower-case name, and what timm writes; the words of a name need no entry."""

Words = tuple[str, ...]


def near_names(name: str, known: Sequence[str], aliases: Mapping[str, str]) -> list[str]:
    """Up to three names that `name` may mean, the likeliest first; [] where none is near.

    `known` are timm's names without tags, `aliases` the short ones and what they stand for. What an alias
    stands for is named by the alias, "vit (vit_tiny_patch16_224)".
    """
    of = {full.partition(".")[0]: alias for alias, full in aliases.items()}
    text = _spelt(name)
    if (base := text.partition(".")[0].replace("-", "_")) in known:
        return [text if "." in text else _called(base, of)]
    tokens = {one: tuple(one.split("_")) for one in known}
    asked = _words(text, {word for words in tokens.values() for word in words})
    scores = {one: _score(asked, words) for one, words in tokens.items()}
    best = max(scores.values(), default=0)
    found = [one for one, score in scores.items() if score == best and best >= _FAMILY]
    places = {one: list(of).index(one) for one in found if one in of}
    found.sort(key=lambda one: (places.get(one, len(of)), _plainness(one, tokens[one], asked)))
    close = []
    if best < _score(asked, asked):  # a word of it is known to nobody: it may be a slip of the finger
        close = difflib.get_close_matches(name.lower(), list(aliases), n=1, cutoff=0.6)
        close += difflib.get_close_matches(base, known, n=1, cutoff=0.75)
    return list(dict.fromkeys(_called(one, of) for one in [*close, *found[:2]]))[:3]


def _called(name: str, aliases: Mapping[str, str]) -> str:
    """A name of timm's by its alias, where it has one."""
    return f"{aliases[name]} ({name})" if name in aliases else name


_FAMILY, _SIZE, _NUMBER = 100, 10, 1


def _score(asked: Words, words: Words) -> int:
    """How much of what was asked stands in a name: the family counts most, then the size, then numbers."""
    return sum(_weight(word) for word in asked if any(_same(word, one) for one in words))


def _weight(word: str) -> int:
    if word in SIZES or word in SIZES.values() or word in ORDER:
        return _SIZE
    return _FAMILY if re.match(r"[a-z]{3}", word) and not word.startswith(("patch", "window")) else _NUMBER


def _same(asked: str, word: str) -> bool:
    if asked == word or SIZES.get(asked) == word:
        return True
    if asked.isdecimal():
        return word == f"patch{asked}"
    return len(asked) > 2 and word.startswith(asked) and word[len(asked) :].isdecimal()


def _plainness(name: str, words: Words, asked: Words) -> tuple[object, ...]:
    """Where a name stands among equally near ones: the plainest, the usual, the smallest first."""
    more = [word for word in words if not any(_same(one, word) for one in asked)]
    own = sum(not re.fullmatch(r"(patch|window)?\d+", word) for word in more)
    size = next((ORDER.index(word) for word in words if word in ORDER), len(ORDER))
    return (
        *(asked[:1] != words[:1], own, "patch8" in words, words[-1] not in USUAL, size),
        *(len(more), len(name), name),
    )


def _spelt(name: str) -> str:
    """A name in small letters, without what other tools put around it."""
    text = name.lower()
    for pattern, spelling in SPELLINGS:
        text = re.sub(pattern, spelling, text)
    return text


def _words(text: str, vocabulary: Collection[str]) -> Words:
    """The words of a name as timm would write them: "vitb16" as vit, b, 16; "resnet-50" as resnet50."""
    parts = [part for part in re.split(r"[^a-z0-9]+", text) if part]
    joined: list[str] = []
    for part in parts:
        before = joined[-1] if joined else ""
        if len(before) > 2 and before.isalpha() and before + part in vocabulary and not part.isalpha():
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(word for part in joined for word in _cut(part, vocabulary))


def _cut(part: str, vocabulary: Collection[str]) -> Words:
    """A run of letters and digits cut after the longest word in it that timm knows."""
    if sized := re.fullmatch(r"(ti|[tsmblhg])(8|14|16|32)", part):
        return (sized[1], sized[2])
    if part in vocabulary or part in SIZES or part.isdecimal():
        return (part,)
    for end in range(len(part) - 1, 2, -1):
        if part[:end] in vocabulary and not part[end - 1 : end + 1].isdecimal():
            return (part[:end], *_cut(part[end:], vocabulary))
    return (part,)
