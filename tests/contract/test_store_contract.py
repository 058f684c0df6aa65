"""What every tracking store promises, in memory, on MLflow with SQLite, and on an MLflow server."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.memory_store import MemoryStore

from grmu_audit.errors import InputError, IntegrityError, NotFoundError
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Store, lineage_tags
from grmu_audit.utils import sha256_file

_names = itertools.count(1)
pytestmark = pytest.mark.parametrize("opened", ["memory", "mlflow-sqlite", "mlflow-server"], indirect=True, scope="module")


@pytest.fixture
def name() -> str:
    return f"digits-{next(_names)}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "version"
    made.mkdir()
    (made / "state.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    (made / "model.json").write_text(json.dumps({"architecture": "small_resnet", "classes": 2, "image_size": [1, 8, 8]}))
    return made


def add(store: Store, name: str, folder: Path, role: str = "pretrain", **lineage: object) -> ModelRef:
    with store.run(name, role) as run:
        return store.register(run, name, folder, role=role, tags=lineage_tags(ModelRef(name, "", **lineage)))  # type: ignore[arg-type]


def test_a_registered_version_comes_back_as_it_went_in(store: Store, name: str, folder: Path) -> None:
    config = {"lr": 0.1, "epochs": 3, "device": "cpu"}
    ref = add(store, name, folder, "unlearned", method="miu", reweight=True, parent=f"{name}/7", seed=5, data_digest="d" * 64,
              forget_digest="hmac-sha256:" + "e" * 64, architecture="small_resnet", config=config)  # fmt: skip
    again = store.resolve(f"{name}/1")
    assert again == ref
    assert (again.role, again.method, again.reweight, again.parent, again.seed) == ("unlearned", "miu", True, f"{name}/7", 5)
    assert (again.data_digest, again.forget_digest, again.config) == ("d" * 64, "hmac-sha256:" + "e" * 64, config)
    assert again.manifest_sha256 == store.manifest_of(again)


def test_references_resolve_to_champion_else_newest_pretrain(store: Store, name: str, folder: Path) -> None:
    for role in ("pretrain", "pretrain", "unlearned"):
        add(store, name, folder, role)
    assert store.resolve(name).version == "2"
    store.set_alias(name, "champion", "3")
    assert [store.resolve(text).version for text in (name, f"{name}/1", f"{name}@champion", f"models:/{name}/2")] == [
        "3",
        "1",
        "3",
        "2",
    ]
    assert [ref.version for ref in store.versions(name)] == ["1", "2", "3"]
    assert [ref.version for ref in store.versions(name, role="unlearned")] == ["3"]
    assert name in store.models()


@pytest.mark.parametrize(
    ("text", "said"), [("{}/9", "{}/1 (pretrain)"), ("{}@gold", "no alias 'gold'"), ("{}x", "did you mean '{}'")]
)
def test_what_does_not_exist_is_named_with_what_does(store: Store, name: str, folder: Path, text: str, said: str) -> None:
    add(store, name, folder)
    with pytest.raises(NotFoundError) as caught:
        store.resolve(text.format(name))
    assert said.format(name) in str(caught.value)


def test_aliases_move_and_vanish(store: Store, name: str, folder: Path) -> None:
    add(store, name, folder)
    add(store, name, folder)
    assert store.aliases(name) == {}
    store.set_alias(name, "champion", "1")
    store.set_alias(name, "champion", "2")
    store.set_alias(name, "candidate", "1")
    assert store.aliases(name) == {"champion": "2", "candidate": "1"}
    store.delete_alias(name, "champion")
    store.delete_alias(name, "champion")
    assert store.aliases(name) == {"candidate": "1"}
    with pytest.raises(InputError, match="latest"):
        store.set_alias(name, "latest", "1")
    with pytest.raises(NotFoundError):
        store.set_alias(name, "champion", "9")


def test_tags_are_read_afresh(store: Store, name: str, folder: Path) -> None:
    ref = add(store, name, folder)
    store.tag(ref, {"grmu.verdict": "PASS", "weight": 0.5})
    assert store.tags(ref)["grmu.verdict"] == "PASS"
    assert store.tags(ref)["weight"] == "0.5"
    assert store.tags(ref)["grmu.manifest_sha256"] == ref.manifest_sha256


def test_a_description_is_known_again_and_an_edit_is_seen(store: Store, name: str, folder: Path) -> None:
    ref = add(store, name, folder)
    assert ref.run_id is not None
    place = {"run_id": ref.run_id, "artifact": "report.html"}
    assert not store.described(ref, "**PASS**", **place)
    store.describe(ref, "**PASS**", **place)
    assert store.described(ref, "**PASS**", **place)
    assert not store.described(ref, "**BREACH**", **place)
    store.describe(ref, "**PASS** ", run_id=ref.run_id, artifact="other.html")
    assert not store.described(ref, "**PASS**", **place)


def test_the_page_of_a_model_and_the_metrics_of_an_audit_are_read_afresh(store: Store, name: str, folder: Path) -> None:
    ref = add(store, name, folder)
    assert store.model_description(name) == store.model_description("nobody") == ""
    store.describe_model(name, "**champion** ü")
    assert store.model_description(name) == "**champion** ü"
    with store.run(name, "audit") as run:
        logged = run.log_audit(ref, {"GA": 0.5, "FGSM@0.03": 0.25, "EO": None}, ("digits", "d" * 64))
    assert store.run_metrics(run.id) == {"GA": 0.5, "FGSM/0.03": 0.25}
    assert store.logged_metrics(logged) == [("FGSM/0.03", 0.25), ("GA", 0.5)]
    assert store.run_metrics("0" * 32) == {}
    assert store.logged_metrics("m-nobody") == []


def test_files_come_back_whole_and_only_into_an_empty_place(store: Store, name: str, folder: Path, tmp_path: Path) -> None:
    ref = add(store, name, folder)
    got = store.fetch(ref, tmp_path / "new" / "got")
    for path in folder.iterdir():
        assert (got / path.name).read_bytes() == path.read_bytes()
    with pytest.raises(InputError, match="not an empty folder"):
        store.fetch(ref, got)


@pytest.mark.parametrize("deed", ["change", "add", "pickle", "remove", "link", "huge"])
def test_tampered_files_are_refused(
    store: Store, stored: Callable[[str, str], Path], name: str, folder: Path, tmp_path: Path, deed: str
) -> None:
    ref = add(store, name, folder)
    place = stored(ref.run_id, "model")
    weights = place / "state.safetensors"
    if deed == "change":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    elif deed == "add":
        (place / "extra.bin").write_bytes(b"more")
    elif deed == "pickle":
        (place / "extra.pkl").write_bytes(b"\x80\x04.")
    elif deed == "remove":
        weights.unlink()
    elif deed == "link":
        weights.unlink()
        weights.symlink_to("/etc/hostname")
    else:
        with (place / "model.json").open("wb") as stream:
            stream.truncate(1 << 30)
    with pytest.raises(IntegrityError):
        store.fetch(ref, tmp_path / "got")
    assert not (tmp_path / "got").exists()
    if deed in ("link", "huge", "pickle"):
        with pytest.raises(IntegrityError):
            store.manifest_of(ref)
    else:
        assert store.manifest_of(ref) != ref.manifest_sha256


def test_a_failed_run_leaves_no_version(store: Store, name: str, folder: Path) -> None:
    def fail(error: BaseException) -> None:
        with store.run(name, "pretrain") as run:
            store.register(run, name, folder, role="pretrain")
            raise error

    for error in (RuntimeError("boom"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail(error)
        assert store.versions(name) == []
    assert add(store, name, folder).version == "3"


def test_refused_registrations_register_nothing(store: Store, name: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for wrong, role in ((tmp_path / "empty", "pretrain"), (tmp_path / "absent", "pretrain"), (folder, "teacher")):
        with pytest.raises(InputError), store.run(name, "pretrain") as run:
            store.register(run, name, wrong, role=role)
    (folder / "weights.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match="pickle"), store.run(name, "pretrain") as run:
        store.register(run, name, folder, role="pretrain")
    (folder / "weights.pkl").unlink()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(IntegrityError, match="symbolic link"), store.run(name, "pretrain") as run:
        store.register(run, name, folder, role="pretrain")
    assert store.versions(name) == []


def test_one_run_makes_one_version(store: Store, name: str, folder: Path) -> None:
    with store.run(name, "pretrain") as run:
        store.register(run, name, folder, role="pretrain")
        with pytest.raises(InputError, match="already created a version"):
            store.register(run, name, folder, role="pretrain")
    assert len(store.versions(name)) == 1


def test_artifacts_of_a_run_are_found_or_none(store: Store, name: str, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("name: x\n")
    with store.run(name, "audit", tags={"subject": "x"}) as run:
        run.log_bytes(b'{"a":1}\n', "audit.json")
        run.log_bytes(b"deep", "a/b/c.txt")
        run.log_file(tmp_path / "policy.yaml", "policy")
        with pytest.raises(IntegrityError, match="leads outside"):
            run.log_bytes(b"x", "../out.txt")
    assert store.run_artifact(run.id, "audit.json") == b'{"a":1}\n'
    assert store.run_artifact(run.id, "a/b/c.txt") == b"deep"
    assert store.run_artifact(run.id, "policy/policy.yaml") == b"name: x\n"
    assert store.run_artifact(run.id, "absent") is None
    assert store.run_artifact("0" * 32, "audit.json") is None
    with pytest.raises(IntegrityError):
        store.run_artifact(run.id, "../../x")


def test_artifacts_of_several_runs_are_those_of_each(store: Store, name: str) -> None:
    made = []
    for model in (name, name, f"{name}-other", name):  # runs of two experiments
        with store.run(model, "request") as run:
            run.log_bytes(model.encode() + bytes([len(made)]), "one.json")
            run.log_bytes(b"deep", "a/two.json")
            made.append(run.id)
    if not isinstance(store, MemoryStore):
        store._client.delete_run(made[1])  # type: ignore[attr-defined]
    paths = ("one.json", "a/two.json", "absent")
    wanted = {made[3]: paths, "0" * 32: paths, made[2]: paths[:1], "no'run": paths, made[1]: paths, made[0]: ()}
    found = list(store.artifacts_of_runs(wanted))
    assert found == [(run, store.run_artifacts(run, names)) for run, names in wanted.items()]
    assert dict(found)[made[3]] == {"one.json": name.encode() + b"\x03", "a/two.json": b"deep", "absent": None}
    assert dict(found)["0" * 32] == dict.fromkeys(paths)
    assert list(store.artifacts_of_runs({})) == []


def test_every_metric_of_an_audit_can_be_logged(store: Store, name: str) -> None:
    from grmu_audit.metrics.catalog import CATALOG

    with store.run(name, "audit") as run:
        run.log_metrics({**dict.fromkeys(CATALOG, 0.5), "FGSM@0.03137": 0.25, "theirs (%)": 1.0, "EO@x": float("nan")})
    if isinstance(store, MemoryStore):
        found = {key: values[-1][1] for key, values in run.metrics.items()}  # type: ignore[attr-defined]
    else:
        found = store._client.get_run(run.id).data.metrics  # type: ignore[attr-defined]
    assert found["FGSM/0.03137"] == 0.25
    assert found["theirs ___"] == 1.0
    assert len(found) == len(CATALOG) + 1


def test_logs_are_numbered_without_gaps_under_concurrent_writers(store: Store, name: str, folder: Path) -> None:
    ref = add(store, name, folder)
    log = f"{name}-other--ledger"
    assert store.entries(log) == []
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda i: store.append(log, {"i": str(i)}, ref), range(16)))
    assert sorted(numbers) == list(range(1, 17))
    entries = store.entries(log)
    assert [entry.number for entry in entries] == list(range(1, 17))
    assert {entry.number: entry.tags["i"] for entry in entries} == {number: str(i) for i, number in enumerate(numbers)}
    assert log not in store.models()


@pytest.mark.parametrize("bad", ["", "a/b", "x:y", "../x", "x--ledger", "-x", "x" * 201, "na'me", "x\n"])
def test_names_that_no_model_may_have(store: Store, bad: str) -> None:
    with pytest.raises(InputError), store.run(bad, "pretrain"):
        pass


def test_without_accounts_of_its_own_a_store_names_the_account_of_the_process(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LOGNAME", "USER", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    assert store.account.startswith("os:")
    assert "somebody-else" not in store.account


def test_files_of_runs_are_listed_and_deleted(store: Store, name: str, folder: Path) -> None:
    ref = add(store, name, folder)
    run = str(ref.run_id)
    with store.run(name, "audit", tags={"grmu.subject": ref.label}) as other:
        other.log_bytes(b"table", "predictions/candidate.parquet")
        open_ones = [one.id for one in store.runs_of(name) if not one.ended]
    assert open_ones == [other.id]
    found = {one.id: one for one in store.runs_of(name)}
    assert {one.kind for one in found.values()} == {"pretrain", "audit"}
    assert found[other.id].subject == ref.label
    assert all(one.ended and not one.deleted for one in found.values())
    assert store.runs_of("never-heard-of") == []
    files = store.run_files(run)
    assert files["model/state.safetensors"] == (folder / "state.safetensors").stat().st_size
    assert store.file_sha256(run, "model/state.safetensors") == sha256_file(folder / "state.safetensors")
    assert store.run_files("0" * 32) == {}
    store.remove_files(run, ["model/state.safetensors", "never/was/there"])
    store.remove_files(run, ["model/state.safetensors"])
    assert set(store.run_files(run)) == set(files) - {"model/state.safetensors"}
    assert store.run_files(other.id) == {"predictions/candidate.parquet": 5}
    store.remove_files(run, list(files))
    assert store.run_files(run) == {}
    with pytest.raises(IntegrityError, match="gone"):
        store.manifest_of(ref)
    with pytest.raises(IntegrityError, match="leads outside"):
        store.remove_files(run, ["../x"])
