"""A registry that means harm: what it serves is refused with exit 2 or 6, runs nothing and writes nothing outside."""

from __future__ import annotations

import json
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.judged_audits import version
from support.memory_store import MemoryStore

from grmu_audit.errors import GrmuAuditError, IntegrityError
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Store, artifacts, open_store
from grmu_audit.utils import folder_manifest, manifest_sha256

RUN = "0" * 32
HTML = "<script>alert(1)</script>\x1b[31m"


class Detonator:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return _explode, (str(self.mark), "boom")


def _explode(mark: str, text: str) -> None:
    Path(mark).write_text(text)


@contextmanager
def evil(
    listing: list[dict[str, Any]], contents: dict[str, bytes], source: str | None = None, served: str | None = None
) -> Iterator[str]:
    """A server that speaks as much of MLflow as a download needs, and lists and serves what the test gives it."""
    root = f"mlflow-artifacts:/1/{RUN}/artifacts"
    found = {
        "name": "faces",
        "version": "1",
        "run_id": RUN,
        "source": source or f"{root}/model",
        "status": "READY",
        "tags": [
            {"key": "grmu.role", "value": "pretrain"},
            {"key": "grmu.manifest_sha256", "value": "a" * 64},
            {"key": "grmu.method", "value": HTML},
        ],
    }
    info = {"run_id": RUN, "experiment_id": "1", "status": "FINISHED", "artifact_uri": root, "lifecycle_stage": "active"}
    answers = {
        "experiments/search": {"experiments": []},
        "registered-models/get": {"registered_model": {"name": "faces"}},
        "registered-models/search": {"registered_models": [{"name": "faces"}]},
        "model-versions/search": {"model_versions": [found]},
        "model-versions/get": {"model_version": found},
        "model-versions/get-download-uri": {"artifact_uri": served or found["source"]},
        "runs/get": {"run": {"info": info, "data": {}}},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path.startswith("/api/2.0/mlflow-artifacts/artifacts"):
                name = parts.path.partition("/artifacts/artifacts/")[2] or parts.path.partition("mlflow-artifacts/artifacts/")[2]
                if "path" in parse_qs(parts.query) or not name:
                    self.reply(json.dumps({"files": listing}).encode())
                else:
                    self.reply(contents.get(name.rpartition("/")[2], b"x"))
                return
            self.reply(json.dumps(answers.get(parts.path.removeprefix("/api/2.0/mlflow/"), {})).encode())

        do_POST = do_GET  # noqa: N815  (the name that http.server looks for)

        def reply(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def file(path: str, size: int = 1) -> dict[str, Any]:
    return {"path": path, "is_dir": False, "file_size": size}


LISTINGS = {
    "parent": [file("../../evil")],
    "absolute": [file("/etc/evil")],
    "backslash": [file("..\\evil")],
    "control": [file("a\nb")],
    "empty": [],
    "huge": [file("model.json", 1 << 30)],
    "folders without end": [{"path": "x", "is_dir": True}],
    "pickle": [file("model.pkl")],
    "wrong content": [file("state.safetensors", 5)],
}


@pytest.mark.parametrize("name", list(LISTINGS))
def test_what_a_hostile_server_lists_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with evil(LISTINGS[name], {}) as url:
        store = open_store(url)
        ref = store.resolve("faces/1")
        with pytest.raises(GrmuAuditError) as caught:
            store.fetch(ref, tmp_path / "work" / "model")
    assert int(caught.value.exit_code) in (2, 6)
    assert everything(tmp_path) == ["work"]


def test_a_file_that_is_larger_than_the_server_said_is_refused(tmp_path: Path) -> None:
    with evil([file("model.json", 10)], {"model.json": b" " * (3 << 20)}) as url:
        store = open_store(url)
        with pytest.raises(IntegrityError, match="more than the"):
            store.fetch(store.resolve("faces/1"), tmp_path / "model")
    assert everything(tmp_path) == []


@pytest.mark.parametrize("field", ["source", "served"])
@pytest.mark.parametrize("address", ["file:///etc", "../../etc", "http://elsewhere.example/x", "s3://bucket/x"])
def test_a_version_that_points_elsewhere_is_refused(field: str, address: str, tmp_path: Path) -> None:
    with evil([], {}, **{field: address}) as url:
        store = open_store(url)
        with pytest.raises(IntegrityError, match="not the files of its run"):
            store.fetch(store.resolve("faces/1"), tmp_path / "model")
    assert everything(tmp_path) == []


@pytest.mark.parametrize("name", ["model.pkl", "weights.PT", "sub/x.joblib", "a.pth"])
def test_a_pickle_is_refused_even_when_every_digest_fits(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    store, ref = planted(tmp_path, {name: pickle.dumps(Detonator(mark))})
    for action in (lambda: store.fetch(ref, tmp_path / "model"), lambda: store.manifest_of(ref)):
        with pytest.raises(IntegrityError, match="is a pickle"):
            action()
    assert not mark.exists()
    assert not (tmp_path / "model").exists()


def planted(root: Path, contents: dict[str, bytes]) -> tuple[Store, ModelRef]:
    """A version whose stored files were replaced, with a manifest tag that fits them."""
    store = MemoryStore(root / "store")
    ref = version(store, "faces", root / "v")
    place = root / "store" / str(ref.run_id) / "model"
    for path in place.iterdir():
        path.unlink()
    for name, content in contents.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    store.tag(ref, {"grmu.manifest_sha256": manifest_sha256(folder_manifest(place))})
    return store, store.resolve(ref.label)


HOSTILE_FILES = {
    "a pickle under the name of the weights": ("state.safetensors", lambda mark: pickle.dumps(Detonator(mark))),
    "a header of many gigabytes": ("state.safetensors", lambda mark: (1 << 40).to_bytes(8, "little") + b"{}"),
    "a spec that is no JSON": ("model.json", lambda mark: b"{" * 1000),
    "a spec nested too deeply": ("model.json", lambda mark: b"[" * 200_000 + b"]" * 200_000),
    "an architecture that does not exist": ("model.json", lambda mark: b'{"architecture":"os.system"}'),
}


@pytest.mark.parametrize("name", list(HOSTILE_FILES))
def test_hostile_model_files_are_refused_and_run_nothing(name: str, tmp_path: Path) -> None:
    from grmu_audit.models.weights import load_model

    mark = tmp_path / "mark"
    which, make = HOSTILE_FILES[name]
    good = {"state.safetensors": (2).to_bytes(8, "little") + b"{}", "model.json": b"{}"}
    store, ref = planted(tmp_path, {**good, which: make(mark)})
    folder = store.fetch(ref, tmp_path / "model")
    with pytest.raises(GrmuAuditError) as caught:
        load_model(folder)
    assert int(caught.value.exit_code) in (2, 6)
    assert not mark.exists()


def test_links_and_a_gigabyte_of_model_json_in_the_artifact_folder(tmp_path: Path) -> None:
    store, ref = planted(tmp_path, {"model.json": b"{}"})
    place = tmp_path / "store" / str(ref.run_id) / "model"
    with (place / "model.json").open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(IntegrityError, match="more than the"):
        store.fetch(ref, tmp_path / "model")
    (place / "model.json").unlink()
    (place / "link").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError, match="symbolic link"):
        store.fetch(ref, tmp_path / "model")
    (place / "link").unlink()
    os.mkfifo(place / "pipe")
    with pytest.raises(IntegrityError, match="neither a file nor a folder"):
        store.fetch(ref, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_markup_in_tags_and_names_reaches_no_terminal_and_no_page(tmp_path: Path) -> None:
    from support.judged_audits import audited, policy, predictions

    from grmu_audit.report.wording.names import safe_name

    store = MemoryStore(tmp_path / "store")
    ref = version(store, "faces", tmp_path / "v")
    store.tag(ref, {"grmu.method": HTML, "grmu.architecture": HTML})
    audited(store, store.resolve("faces/1"), [predictions(100)], policy())
    page = store.run_artifact(store.tags(ref)["grmu.audit_run"], "report.html")
    assert page is not None
    assert b"<script" not in page
    assert b"\x1b" not in page
    assert "\x1b" not in safe_name(HTML)


def test_the_disk_is_full_and_nothing_is_half_there(tmp_path: Path) -> None:
    """A real limit of the kernel: no file may grow beyond 64 KiB."""
    import resource
    import signal

    store = MemoryStore(tmp_path / "store")
    ref = version(store, "faces", tmp_path / "v", content=b"w" * (1 << 20))
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, old[1]))
        with pytest.raises(GrmuAuditError) as caught:
            store.fetch(ref, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert int(caught.value.exit_code) == 4
    assert not (tmp_path / "model").exists()
    assert [path.name for path in tmp_path.glob(".grmu-audit-*")] == []
    assert artifacts.folder_digest(store.fetch(ref, tmp_path / "model"), "x") == ref.manifest_sha256
