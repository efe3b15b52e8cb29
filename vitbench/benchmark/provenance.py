"""What teachers and first weights have seen before: test pictures among it are said, or refused."""

from collections import Counter

from vitbench.records import Fingerprints, Split
from vitbench.training.jobs import Job


def seen_lines(job: Job, split: Split) -> list[str]:
    """A warning for the teacher, and for first weights of one's own, that know test pictures of this split.

    By content: as the very files, or as near-copies (encoded again, resized, mirrored, turned). The models
    say themselves what they learned from, wherever they lie.
    """
    known = []
    if job.teacher is not None and job.teacher.folder is not None:
        place = job.teacher.folder
        known.append(
            ("its teacher", place, Fingerprints.beside_model(place), "what it teaches is known of them")
        )
    if job.weights.path is not None:
        known.append(
            ("its first weights", job.weights.path.parent, job.weights.learned_from(), "they saw them")
        )
    asked = [(p.sha256, p.fingerprint) for p in split.test]
    lines = []
    for what, place, learned, so in known:
        found = [one for one in learned.find_all(asked) if one is not None]
        if found:
            counts = Counter(one.part for one in found)
            ways = [("learned from", counts["train"]), ("chosen by", counts["val"])]
            did = " and ".join(f"{way} {count}" for way, count in ways if count)
            near = sum(one.near for one in found)
            copies = f" ({near} of them as near-copies)" if near else ""
            lines.append(
                f"{job.model}: {what} ({place.parent.name}) {did} of the {len(split.test)} test "
                f"pictures{copies}: {so}, so its score there is too good"
            )
    return lines
