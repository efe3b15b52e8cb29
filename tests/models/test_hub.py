"""The real hub path, against a server on this machine that behaves well or badly."""

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants
from pointed import point_to

from vitbench import files
from vitbench.errors import WeightsError
from vitbench.models.create import create
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.models.weights import download_weights, resolve_weights

REPO = "timm/test_vit.r160_in1k"
COMMIT = "c" * 40
LIMIT = 4.0
"""Seconds without progress; the downloading process needs one or two of them to start."""


@dataclass
class Hub:
    """What the server serves and how; `mode` is changed by the tests."""

    content: bytes
    mode: str = "good"
    asked: list[str] = field(default_factory=list)
    halted: threading.Event = field(default_factory=threading.Event)
    address: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        if self.hub.mode == "silent":
            self.hub.halted.wait(60)
            return
        if self.hub.mode == "a pickle only" and self.path.endswith("/pytorch_model.bin"):
            self.send_file(body)
            return
        if self.path != f"/{REPO}/resolve/main/model.safetensors" or self.hub.mode in (
            "absent",
            "a pickle only",
        ):
            self.send_error(404, "EntryNotFound")
            return
        if self.hub.mode == "broken" or (self.hub.mode == "broken body" and body):
            self.send_error(500)
            return
        self.send_file(body)

    def send_file(self, body: bool) -> None:
        content = self.hub.content
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        start = 0 if self.hub.mode == "always cut" else start
        self.send_response(206 if start else 200)
        if self.hub.mode == "wrong bytes":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{hashlib.sha256(self.hub.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.send_body(content, start)

    def send_body(self, content: bytes, start: int) -> None:
        half = len(content) // 2
        if self.hub.mode in ("stalls", "cut once", "always cut") and start == 0:
            self.wfile.write(content[:half])
            self.wfile.flush()
            if self.hub.mode == "stalls":
                self.hub.halted.wait(60)
            self.close_connection = True
            return
        pause, piece = (0.35, len(content) // 16) if self.hub.mode == "slow" else (0.0, len(content))
        for at in range(start, len(content), piece):
            self.wfile.write(content[at : at + piece])
            self.wfile.flush()
            time.sleep(pause)


@pytest.fixture
def hub(tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one file, an empty cache, and an environment that points to both."""
    hub = Hub(tiny_file.read_bytes())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    point_to(hub.address, tmp_path / "cache", monkeypatch)
    yield hub
    hub.halted.set()
    server.shutdown()
    server.server_close()
    thread.join()


def refused(plan: ModelPlan, seconds: float = LIMIT) -> str:
    """The one-line error of `resolve_weights`, which must name the three ways on."""
    with pytest.raises(WeightsError) as caught:
        resolve_weights(("pretrained",), [plan], timeout_seconds=seconds)
    message = str(caught.value)
    assert "\n" not in message
    assert all(way in message for way in ("--weights PATH", "HF_HOME", "--weights random"))
    return message


def test_pretrained_comes_from_the_hub_then_from_the_cache(hub: Hub, tiny_plan: ModelPlan) -> None:
    """The file is downloaded once, loaded, labelled; the second time nothing is asked of the hub."""
    said: list[str] = []
    found = resolve_weights(("pretrained",), [tiny_plan], on_event=said.append)["test_vit"]
    assert (found.origin.kind, found.label) == ("hub", "pretrained (IN-1k)")
    assert found.origin.sha256 == hashlib.sha256(hub.content).hexdigest()
    assert any("downloading" in line for line in said)
    assert found.path is not None
    assert found.path.read_bytes() == hub.content
    create(tiny_plan, 3, found, seed=0)
    hub.asked.clear()
    assert resolve_weights(("pretrained",), [tiny_plan])["test_vit"] == found
    assert hub.asked == []


@pytest.mark.slow
def test_what_timm_loads_is_what_we_load(
    hub: Hub, tiny_plan: ModelPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """timm itself, pointed to the same cache, gives a network with the same backbone."""
    found = resolve_weights(("pretrained",), [tiny_plan])["test_vit"]
    mine = create(tiny_plan, 3, found, seed=0).state_dict()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    theirs = timm.create_model("test_vit", pretrained=True, num_classes=3, img_size=64).state_dict()
    assert hub.asked == []
    assert {key for key in mine if not torch.equal(mine[key], theirs[key])} <= {"head.weight", "head.bias"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("absent", "HTTP 404"),
        ("broken", "HTTP 500"),
        ("broken body", "HTTP 500"),
        ("silent", "timed out|nothing came"),
        ("stalls", "nothing came from the hub for 4 s"),
        ("always cut", "nothing came|peer closed|size"),
        ("wrong bytes", "damaged"),
    ],
)
def test_a_hub_that_fails_is_one_line_in_time(hub: Hub, tiny_plan: ModelPlan, mode: str, reason: str) -> None:
    """Whatever the hub does, the answer is one line within seconds, and no half file is ever used."""
    hub.mode = mode
    start = time.monotonic()
    message = refused(tiny_plan)
    assert time.monotonic() - start < 3 * LIMIT
    assert any(word in message for word in reason.split("|")), message
    cached = list(Path(constants.HF_HUB_CACHE).rglob("model.safetensors"))
    assert cached == []


@pytest.mark.slow
def test_the_model_that_failed_is_named_and_nothing_is_downloaded(hub: Hub, tiny_plan: ModelPlan) -> None:
    """With one of two models absent, the error is about that one and no byte of the other is fetched."""
    plans = [tiny_plan, plan_model("test_efficientnet", 64)]
    with pytest.raises(WeightsError, match=r"^test_efficientnet: .*HTTP 404"):
        resolve_weights(("pretrained",), plans, timeout_seconds=LIMIT)
    assert [line for line in hub.asked if line.startswith("GET") and "model.safetensors" in line] == []


@pytest.mark.slow
def test_auto_takes_what_there_is(hub: Hub, tiny_plan: ModelPlan) -> None:
    """Under "auto" a model that the hub has is pretrained, though another one is not."""
    plans = [tiny_plan, plan_model("test_efficientnet", 64)]
    found = resolve_weights(("auto",), plans, timeout_seconds=LIMIT)
    assert {alias: weights.origin.kind for alias, weights in found.items()} == {
        "test_vit": "hub",
        "test_efficientnet": "random",
    }


@pytest.mark.slow
def test_after_a_failure_the_next_try_works(hub: Hub, tiny_plan: ModelPlan) -> None:
    """A damaged download leaves nothing that a later one would trip over."""
    hub.mode = "wrong bytes"
    refused(tiny_plan)
    hub.mode = "good"
    found = resolve_weights(("pretrained",), [tiny_plan])["test_vit"]
    assert found.origin.sha256 == hashlib.sha256(hub.content).hexdigest()


@pytest.mark.slow
def test_a_cut_download_is_resumed(hub: Hub, tiny_plan: ModelPlan) -> None:
    """A connection that breaks half-way is taken up where it broke, and the file comes out whole."""
    hub.mode = "cut once"
    found = resolve_weights(("pretrained",), [tiny_plan], timeout_seconds=LIMIT)["test_vit"]
    assert found.origin.sha256 == hashlib.sha256(hub.content).hexdigest()


@pytest.mark.slow
def test_a_slow_download_that_moves_is_not_cut(hub: Hub, tiny_plan: ModelPlan) -> None:
    """The limit is on standing still: a download that takes longer than it, but moves, is finished."""
    hub.mode = "slow"
    start = time.monotonic()
    found = resolve_weights(("pretrained",), [tiny_plan], timeout_seconds=LIMIT)["test_vit"]
    assert found.origin.kind == "hub"
    assert time.monotonic() - start > LIMIT


def test_no_network_is_one_line_in_time(
    tiny_plan: ModelPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused connection and an empty cache: the error comes well under 20 s, with the default limit."""
    point_to("http://127.0.0.1:9", tmp_path, monkeypatch)
    start = time.monotonic()
    assert "127.0.0.1:9" in refused(tiny_plan, seconds=15.0)
    assert time.monotonic() - start < 15


def test_auto_falls_back_loudly(
    tiny_plan: ModelPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "auto" without a network is random weights, said aloud and kept as a note."""
    point_to("http://127.0.0.1:9", tmp_path, monkeypatch)
    said: list[str] = []
    found = resolve_weights(("auto",), [tiny_plan], on_event=said.append)["test_vit"]
    assert (found.origin.kind, found.label) == ("random", "random")
    assert "RANDOM" in found.note
    assert f"test_vit: {found.note}" in said


@pytest.mark.slow
def test_offline_is_respected(hub: Hub, tiny_plan: ModelPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE=1: an empty cache is an error, a filled one serves, and the hub hears nothing."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refused(tiny_plan)
    assert hub.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    resolve_weights(("pretrained",), [tiny_plan])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert resolve_weights(("pretrained",), [tiny_plan])["test_vit"].origin.kind == "hub"
    assert hub.asked == []


@pytest.mark.slow
def test_a_damaged_cache_is_not_used(hub: Hub, tiny_plan: ModelPlan) -> None:
    """A flipped byte in a cached file is found by the file's own name, and the file fetched again."""
    path = resolve_weights(("pretrained",), [tiny_plan])["test_vit"].path
    assert path is not None
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.resolve().write_bytes(content)
    again = resolve_weights(("pretrained",), [tiny_plan])["test_vit"]
    assert again.origin.sha256 == hashlib.sha256(hub.content).hexdigest()


def test_a_hub_that_offers_a_pickle_only_is_not_asked_for_it(hub: Hub, tiny_plan: ModelPlan) -> None:
    """Where there is a .bin and no safetensors file, the model's weights are not to be had."""
    hub.mode = "a pickle only"
    assert "does not have the file (HTTP 404)" in refused(tiny_plan)
    assert hub.asked == [f"HEAD /{REPO}/resolve/main/model.safetensors"]


def test_models_without_published_weights_say_so(hub: Hub) -> None:
    """A network for which timm publishes no weights is refused without asking the hub."""
    assert "publishes none" in refused(plan_model("swinv2_cr_tiny_224", 224))
    assert hub.asked == []


def test_a_downloaded_folder_serves_without_a_network(
    hub: Hub, tiny_plan: ModelPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`download_weights` fills a folder that `--weights FOLDER` reads with the network gone."""
    folder = tmp_path / "filled"
    paths = download_weights(["test_vit"], folder)
    assert [p.name for p in paths] == ["test_vit.r160_in1k.safetensors"]
    about: dict[str, Any] = files.read_json(folder / "test_vit.r160_in1k.json")
    assert about["sha256"] == hashlib.sha256(hub.content).hexdigest()
    assert about["source"] == f"{hub.address}/{REPO}"
    point_to("http://127.0.0.1:9", tmp_path / "empty", monkeypatch)
    found = resolve_weights((str(folder),), [tiny_plan])["test_vit"]
    assert (found.origin.kind, found.label, found.path) == ("hub", "pretrained (IN-1k)", paths[0])
    hub.asked.clear()
    assert download_weights(["test_vit"], folder) == paths
    assert hub.asked == []


def test_a_download_that_fails_writes_nothing(hub: Hub, tmp_path: Path) -> None:
    """When one of the models is not to be had, the folder is not made."""
    hub.mode = "absent"
    with pytest.raises(WeightsError, match="test_vit: no pretrained weights"):
        download_weights(["test_vit"], tmp_path / "filled", timeout_seconds=LIMIT)
    assert not (tmp_path / "filled").exists()
