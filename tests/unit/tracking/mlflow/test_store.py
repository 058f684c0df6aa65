"""What only the MLflow store does: served by plain MLflow, private, quiet, and quick to fail."""

from __future__ import annotations

import getpass
import io
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError
from grmu_audit.records import ModelRef
from grmu_audit.tracking import lineage_tags, open_store
from grmu_audit.tracking.mlflow.serving import serving_files
from grmu_audit.tracking.mlflow.store import MlflowStore


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded") / "mlruns"


@pytest.fixture(scope="module")
def store(root: Path) -> MlflowStore:
    opened = open_store(f"sqlite:///{root}/mlflow.db", root=root)
    assert isinstance(opened, MlflowStore)
    return opened


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, network: torch.nn.Module) -> Path:
    from safetensors.torch import save_file

    made = tmp_path_factory.mktemp("version")
    save_file(network.state_dict(), made / "state.safetensors")
    spec = {"architecture": "linear", "classes": 3, "image_size": [3, 2, 2], "class_names": ["cat", "dog | ü"]}
    (made / "model.json").write_text(json.dumps(spec))
    graph = torch.export.export(network, (torch.zeros(2, 3, 2, 2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(graph, made / "model.pt2")
    return made


@pytest.fixture(scope="module")
def ref(store: MlflowStore, folder: Path) -> ModelRef:
    with store.run("served", "pretrain", tags={"grmu.request_id": "r-1"}) as run:
        run.log_params({"lr": 0.1, "long": "x" * 7000, **{f"p{i}": i for i in range(150)}})
        run.log_metrics({"loss": 0.5, "EO": float("nan"), "DP": None}, step=1)
        run.log_metrics({"loss": 0.25, "GA": float("inf")}, step=2)
        run.log_dataset("photodigits", "d" * 64, "training", {"rows": 1797})
        return store.register(
            run,
            "served",
            folder,
            role="pretrain",
            tags=lineage_tags(ModelRef("served", "", method="erm", seed=0)),
        )


def test_plain_mlflow_serves_the_version_without_pickle(
    store: MlflowStore, root: Path, ref: ModelRef, network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.delenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", raising=False)
    pixels = np.random.default_rng(0).random((5, 3, 2, 2), dtype=np.float32)
    mlflow.set_tracking_uri(f"sqlite:///{root}/mlflow.db")
    try:
        served = mlflow.pyfunc.load_model(f"models:/{ref.label}")
        scores = served.predict(pixels)
        empty = served.predict(pixels[:0])
        assert str(served.metadata.get_input_schema()) == "[Tensor('float32', (-1, 3, 2, 2))]"
        with pytest.raises(mlflow.exceptions.MlflowException):
            served.predict(pixels[:, :2])
    finally:
        mlflow.set_tracking_uri(None)  # MLflow stores the URI in the environment: a store put back would outlive this test
    assert list(scores.columns) == served.metadata.get_output_schema().input_names() == ["cat", "dog | ü", "class 2"]
    assert empty.shape == (0, 3)
    with torch.no_grad():
        expected = torch.softmax(network(torch.from_numpy(pixels)), dim=1).numpy()
    np.testing.assert_allclose(scores.to_numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("address", ["served/1", "served@champion"])
def test_serving_a_version_is_not_tampering(store: MlflowStore, root: Path, ref: ModelRef, tmp_path: Path, address: str) -> None:
    """MLflow's client writes a mark into the folder that it serves from; by number and by alias its content differs."""
    import mlflow

    store.set_alias("served", "champion", ref.version)
    mlflow.set_tracking_uri(f"sqlite:///{root}/mlflow.db")
    try:
        mlflow.pyfunc.load_model(f"models:/{address}")
    finally:
        mlflow.set_tracking_uri(None)
    marks = list((root / "artifacts").rglob(f"{ref.run_id}/artifacts/model/registered_model_meta"))
    assert len(marks) == 1
    assert store.manifest_of(ref) == ref.manifest_sha256
    assert not (store.fetch(ref, tmp_path / "got") / "registered_model_meta").exists()
    mark, before = marks[0], marks[0].read_bytes()
    try:
        mark.write_bytes(before + b"x: y\n")
        assert store.manifest_of(ref) != ref.manifest_sha256
    finally:
        mark.unlink()


@pytest.mark.slow
def test_mlflow_models_serve_is_not_tampering(store: MlflowStore, root: Path, ref: ModelRef, tmp_path: Path) -> None:
    """The real command, until it answers a real request."""
    import urllib.request

    from support.servers import free_port, wait_until

    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{ref.label}", "--env-manager", "local"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
    environment = {**kept, "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true",
                   "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"}  # fmt: skip
    with (
        (tmp_path / "log").open("ab") as log,
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log, cwd=tmp_path, env=environment
        ) as process,
    ):
        try:
            wait_until(f"http://127.0.0.1:{port}/ping", process, tmp_path / "log", 300)
            body = json.dumps({"inputs": np.zeros((2, 3, 2, 2)).tolist()}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                rows = json.load(answer)["predictions"]
            assert [list(row) for row in rows] == [["cat", "dog | ü", "class 2"]] * 2
            assert [sum(row.values()) for row in rows] == pytest.approx([1, 1])
        finally:
            process.terminate()
    assert list((root / "artifacts").rglob(f"{ref.run_id}/artifacts/model/registered_model_meta"))
    assert store.manifest_of(ref) == ref.manifest_sha256


def test_serving_files_are_pinned_and_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    made = serving_files(folder)
    assert made == serving_files(folder)
    assert all("==" in line for line in made["requirements.txt"].decode().splitlines())
    assert serving_files(tmp_path) == {}
    readme = made["README.md"].decode()
    assert "float32, [batch, 3, 2, 2]: pixels from 0 to 1" in readme
    assert "`cat`, `dog ? ü`, `class 2` |" in readme
    with zipfile.ZipFile(io.BytesIO(made["class_scores.zip"])) as archive:
        assert [(entry.filename, entry.date_time[0]) for entry in archive.infolist()] == [("grmu_audit_class_scores.py", 1980)]


def test_a_run_holds_what_was_given(store: MlflowStore, ref: ModelRef) -> None:
    import mlflow

    found = mlflow.MlflowClient(store.uri).get_run(str(ref.run_id))
    assert found.info.status == "FINISHED"
    assert len(found.data.params) == 152
    assert "[7000 characters, sha256:" in found.data.params["long"]
    assert found.data.metrics == {"loss": 0.25}
    assert found.data.tags["grmu.nonfinite"] == "DP,EO,GA"
    assert found.data.tags["grmu.request_id"] == "r-1"
    assert found.inputs.dataset_inputs[0].dataset.name == "photodigits"
    assert json.loads(found.inputs.dataset_inputs[0].dataset.source)["digest"] == "d" * 64


def test_nothing_about_the_operator_or_the_command_line_is_stored(root: Path, ref: ModelRef) -> None:
    database = sqlite3.connect(root / "mlflow.db")
    names = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
    texts = {str(value) for name in names for row in database.execute(f'select * from "{name}"') for value in row}
    database.close()
    assert any(str(ref.run_id) in text for text in texts)
    assert getpass.getuser() not in texts
    assert not {sys.argv[0], Path(sys.argv[0]).name, " ".join(sys.argv), socket.gethostname(), str(Path.cwd())} & texts
    keys = {row[0] for row in sqlite3.connect(root / "mlflow.db").execute("select key from tags where key like 'mlflow.%'")}
    assert keys <= {"mlflow.runName", "mlflow.source.name", "mlflow.source.type"}


@pytest.mark.parametrize("column", ["source", "storage_location"])
def test_a_version_pointed_elsewhere_is_refused(
    store: MlflowStore, root: Path, folder: Path, tmp_path: Path, column: str
) -> None:
    """``storage_location`` is what MLflow's client downloads from; ``source`` is shown beside it."""
    name = f"redirected-{column.replace('_', '-')}"
    with store.run(name, "pretrain") as run:
        ref = store.register(run, name, folder, role="pretrain")
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute(f"update model_versions set {column} = ? where name = ?", (tmp_path.as_uri(), name))
    for action in (lambda: store.fetch(ref, tmp_path / "got"), lambda: store.manifest_of(ref)):
        with pytest.raises(IntegrityError, match="not the files of its run"):
            action()


def test_a_deleted_run_is_noticed(store: MlflowStore, folder: Path) -> None:
    import mlflow

    with store.run("orphan", "pretrain") as run:
        ref = store.register(run, "orphan", folder, role="pretrain")
    mlflow.MlflowClient(store.uri).delete_run(run.id)
    with pytest.raises(IntegrityError, match="was deleted"):
        store.manifest_of(ref)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_stopped_server_is_an_environment_failure_after_one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[object] = []
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *given: attempts.append(given) or connect(*given))
    with pytest.raises(EnvironmentFailure, match="no MLflow server answers at http:") as caught:
        open_store(f"http://127.0.0.1:{closed_port()}")
    assert caught.value.exit_code == 4
    assert len(attempts) == 1


def test_a_server_that_fails_while_a_version_is_registered_is_an_environment_failure(
    store: MlflowStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    def failing(*_: object) -> None:
        raise MlflowException("503")

    monkeypatch.setattr(store._client, "list_artifacts", failing)
    with pytest.raises(EnvironmentFailure, match="cannot list the files of run"), store.run("m", "pretrain") as run:
        store.register(run, "m", folder, role="pretrain")


def test_a_damaged_database_is_an_environment_failure(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(EnvironmentFailure, match="open the tracking store") as caught:
        open_store(f"sqlite:///{tmp_path}/mlflow.db")
    assert caught.value.exit_code == 4


def test_first_use_says_nothing_and_telemetry_is_off(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from grmu_audit.tracking import open_store\n"
        f"store = open_store(root=Path({str(tmp_path)!r}) / 'mlruns')\n"
        "with store.run('quiet', 'pretrain') as run: run.log_bytes(b'x', 'x.txt')\n"
        "from mlflow.telemetry.client import get_telemetry_client\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "assert is_telemetry_disabled() and get_telemetry_client() is None\n"
    )
    left_out = ("MLFLOW", "CI", "DO_NOT_TRACK", "PYTEST", "GITHUB", "GITLAB")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=kept, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "mlruns" / "mlflow.db").is_file()


def test_only_plain_files_are_stored_and_read(store: MlflowStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "link.txt").symlink_to(tmp_path / "notes.txt")
    with store.run("plain", "unlearn") as run:
        for path in (tmp_path / "link.txt", tmp_path, tmp_path / "none"):
            with pytest.raises(InputError, match=f"{path} is not a plain file"):
                run.log_file(path)
        run.log_file(tmp_path / "notes.txt", "kept")
    (place,) = (path for path in root.rglob("notes.txt") if run.id in path.parts)
    assert store.run_artifact(run.id, "kept/notes.txt") == b"text"
    assert store.run_artifact(run.id, "kept/none") is None
    with pytest.raises(IntegrityError, match=f"kept of .*{run.id}.* is not a plain file: refused"):
        store.run_artifact(run.id, "kept")
    place.unlink()
    place.symlink_to(tmp_path / "notes.txt")
    with pytest.raises(IntegrityError, match=r"kept/notes.txt of .* is not a plain file: refused"):
        store.run_artifact(run.id, "kept/notes.txt")


def test_a_deleted_experiment_is_named(store: MlflowStore) -> None:
    with store.run("gone", "unlearn") as run:
        experiment = store._client.get_experiment(store._client.get_run(run.id).info.experiment_id)
    store._client.delete_experiment(experiment.experiment_id)
    with (
        pytest.raises(InputError, match=f"the experiment '{experiment.name}' is deleted: restore it"),
        store.run("gone", "unlearn"),
    ):
        pass


def test_a_version_that_no_run_made_is_refused(store: MlflowStore, tmp_path: Path) -> None:
    store._client.create_registered_model("foreign")
    store._client.create_model_version("foreign", (tmp_path / "weights").as_uri())
    with pytest.raises(IntegrityError, match="foreign/1 names no run: it was not registered by this tool"):
        store.fetch(ModelRef("foreign", "1"), tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_version_whose_files_are_gone_is_refused(store: MlflowStore, root: Path, folder: Path, tmp_path: Path) -> None:
    with store.run("emptied", "unlearn") as run:
        ref = store.register(run, "emptied", folder, role="unlearned")
    (place,) = (path for path in root.rglob("model") if run.id in path.parts)
    shutil.rmtree(place)
    with pytest.raises(IntegrityError, match="emptied/1"):
        store.fetch(ref, tmp_path / "into")
    assert not (tmp_path / "into").exists()
