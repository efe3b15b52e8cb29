"""Small stand-ins of the known public sets in their own layouts, and a server that behaves well or badly."""

import contextlib
import hashlib
import http.server
import io
import json
import pickle
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

WNIDS = ("n01440764", "n02102040", "n02979186")
"""Of Imagenette: tench, English springer, cassette player."""
COMMIT = "c" * 40


def picture(key: int, kind: str = "JPEG") -> bytes:
    """A small picture of its own; equal keys, equal bytes."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(key).integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(
        stream, kind
    )
    return stream.getvalue()


def tarred(files: Mapping[str, bytes]) -> bytes:
    """A .tar.gz of files by their paths."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


# --- stand-ins: file name → content, as the archives of a set ---------------------------------------


def pets() -> dict[str, bytes]:
    """Two breeds, 4 + 3 pictures each."""
    images, lists = {}, {"trainval": "", "test": ""}
    for index, breed in enumerate(("Abyssinian", "american_bulldog"), start=1):
        for number in range(1, 8):
            name = f"{breed}_{number}"
            images[f"images/{name}.jpg"] = picture(100 * index + number)
            lists["trainval" if number < 5 else "test"] += f"{name} {index} {index} 1\n"
    notes = {f"annotations/{part}.txt": text.encode() for part, text in lists.items()}
    return {"images.tar.gz": tarred(images), "annotations.tar.gz": tarred(notes)}


def flowers() -> dict[str, bytes]:
    """Two flowers, 2 + 2 + 3 pictures each."""
    from scipy.io import savemat

    images = {f"jpg/image_{number:05d}.jpg": picture(number) for number in range(1, 15)}
    labels, ids = io.BytesIO(), io.BytesIO()
    savemat(labels, {"labels": np.array([[1, 2] * 7])})
    savemat(ids, {"trnid": [[1, 2, 3, 4]], "valid": [[5, 6, 7, 8]], "tstid": [[9, 10, 11, 12, 13, 14]]})
    return {
        "102flowers.tgz": tarred(images), "imagelabels.mat": labels.getvalue(), "setid.mat": ids.getvalue()
    }  # fmt: skip


def food() -> dict[str, bytes]:
    """Two dishes, 4 + 2 pictures each."""
    names = {dish: [f"{dish}/{number}" for number in range(6)] for dish in ("apple_pie", "waffles")}
    files = {
        f"food-101/images/{name}.jpg": picture(hash_of(name)) for every in names.values() for name in every
    }
    parts = {"train": slice(4), "test": slice(4, 6)}
    for part, some in parts.items():
        meta = {dish: every[some] for dish, every in names.items()}
        files[f"food-101/meta/{part}.json"] = json.dumps(meta).encode()
    return {"food-101.tar.gz": tarred(files)}


def imagenette(name: str) -> dict[str, bytes]:
    """Three classes, 3 + 2 pictures each."""
    files = {
        f"{name}/{part}/{wnid}/{wnid}_{part}_{number}.JPEG": picture(hash_of(f"{wnid}{part}{number}"))
        for wnid in WNIDS
        for part, count in (("train", 3), ("val", 2))
        for number in range(count)
    }
    return {f"{name}.tgz": tarred(files)}


def cifar(kind: int) -> dict[str, bytes]:
    """Two classes, 10 + 4 pictures; CIFAR-10 has its training part in five batches."""
    ten = kind == 10
    folder, key = ("cifar-10-batches-py", "labels") if ten else ("cifar-100-python", "fine_labels")
    batches = [f"data_batch_{n}" for n in range(1, 6)] if ten else ["train"]
    counts = dict.fromkeys(batches, 10 // len(batches)) | {"test_batch" if ten else "test": 4}
    files = {}
    for place, (name, count) in enumerate(counts.items()):
        data = np.random.default_rng(place).integers(0, 256, (count, 3072), dtype=np.uint8)
        files[f"{folder}/{name}"] = pickle.dumps({"data": data, key: [n % 2 for n in range(count)]})
    names = {"label_names" if ten else "fine_label_names": ["airplane", "automobile"]}
    files[f"{folder}/{'batches.meta' if ten else 'meta'}"] = pickle.dumps(names)
    return {f"cifar-{kind}-python.tar.gz": tarred(files)}


def hash_of(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


ARCHIVES: dict[str, Callable[[], dict[str, bytes]]] = {
    "oxford-iiit-pet": pets,
    "flowers-102": flowers,
    "food-101": food,
    "imagenette": lambda: imagenette("imagenette2"),
    "imagenette-320": lambda: imagenette("imagenette2-320"),
    "cifar-10": lambda: cifar(10),
    "cifar-100": lambda: cifar(100),
}


def table(classes: tuple[str, ...], rows: int, first: int, paths: bool = True) -> bytes:
    """A table as the hub has it: pictures, classes, and what its columns mean; rows in groups of three."""
    import pyarrow as pa
    from pyarrow import parquet

    about = {"info": {"features": {
        "image": {"_type": "Image"}, "label": {"names": list(classes), "_type": "ClassLabel"},
        "image_id": {"dtype": "string", "_type": "Value"},
    }}}  # fmt: skip
    images = [
        {"bytes": picture(first + row, "PNG"), "path": f"{first + row}.png" if paths else None}
        for row in range(rows)
    ]
    columns = {
        "image": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array([row % len(classes) for row in range(rows)], pa.int64()),
        "image_id": [f"id {row}" for row in range(rows)],
    }
    stream = io.BytesIO()
    made = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(about)})
    parquet.write_table(made, stream, row_group_size=3)
    return stream.getvalue()


# --- a server ---------------------------------------------------------------------------------------


@dataclass
class Server:
    """What is served, and how; `modes` by file name, changed by the tests."""

    files: dict[str, bytes] = field(default_factory=dict)
    """By path."""
    modes: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """ "path from byte"."""
    address: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def hub(self, repository: str, tables: Mapping[str, bytes], licence: str) -> None:
        """Serve a data set as the hub does; tables that are long lie in LFS, short ones in git."""
        siblings = []
        for name, content in tables.items():
            self.files[f"/datasets/{repository}/resolve/{COMMIT}/{name}"] = content
            one = {"rfilename": name, "size": len(content), "blobId": _blob(content)}
            if "test" not in name:
                sha256 = hashlib.sha256(content).hexdigest()
                one["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            siblings.append(one)
        info = {"id": repository, "sha": COMMIT, "siblings": siblings, "cardData": {"license": licence}}
        info |= {"private": False, "disabled": False, "downloads": 0, "likes": 0, "tags": []}
        self.files[f"/api/datasets/{repository}"] = json.dumps(info).encode()


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    served: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        mode = self.served.modes.get(Path(path).name, "")
        content = self.served.files.get(path)
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.served.asked.append(f"{Path(path).name} from {start}")
        if content is None or mode == "gone":
            self.send_error(404)
            return
        if mode == "broken":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if start >= len(content):
            self.send_error(416)
            return
        start = 0 if mode == "anew" else start
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        with contextlib.suppress(OSError):
            self._send(content, start, mode)

    def _send(self, content: bytes, start: int, mode: str) -> None:
        half = len(content) // 2
        if (mode == "cut" and start < half) or mode in ("halts", "always cut"):
            self.wfile.write(content[start : max(half, start)])
            self.wfile.flush()
            if mode == "halts":
                self.served.closing.wait(60)
            self.close_connection = True
            return
        self.wfile.write(content[start:])


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server on this machine."""
    served = Server()
    bound = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"served": served}))
    bound.daemon_threads = True
    thread = threading.Thread(target=bound.serve_forever, args=(0.02,))
    thread.start()
    served.address = f"http://127.0.0.1:{bound.server_port}"
    try:
        yield served
    finally:
        served.closing.set()
        bound.shutdown()
        bound.server_close()
        thread.join()


def wait_for(there: Callable[[], bool], seconds: float = 120) -> None:
    """Until something is so."""
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until
        time.sleep(0.02)
