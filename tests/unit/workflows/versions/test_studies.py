"""Trainings as jobs give what trainings here give, and need no tracking server."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.memory_store import MemoryStore
from support.tiny import CPU

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import DivergedError, EnvironmentFailure, InputError, IntegrityError
from grmu_audit.evidence import pseudonyms
from grmu_audit.jobs import Job, JobFolder, JobOptions
from grmu_audit.models.catalog import build
from grmu_audit.records import ModelRef
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.workflows.forget_requests import read_request
from grmu_audit.workflows.rows_read import places_of_rows
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions import studies, unlearning
from grmu_audit.workflows.versions.method_choice import UnlearnOptions, choose_method
from grmu_audit.workflows.versions.network import NetworkChoice, load_network, model_spec
from grmu_audit.workflows.versions.studies import open_study, patiently, put_study, run_method_job, take_method_result
from grmu_audit.workflows.versions.tuning import tune
from grmu_audit.workflows.versions.unlearning import retrain_seeds

SHORT = {"batch_size": 128, "epochs": 1}
Base = tuple[MemoryStore, ModelRef, Path]


def as_jobs(session: Session) -> Session:
    return replace(session, jobs=JobOptions("local", folder=str(session.root / "jobs")))


@pytest.fixture
def elsewhere(session: Session) -> Session:
    made = as_jobs(session)
    made.store = session.store  # type: ignore[misc]
    return made


def test_references_as_jobs_are_those_that_are_trained_here_and_a_stopped_writer_repeats_nothing(
    session: Session, elsewhere: Session, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    store, parent, forget = base
    options = UnlearnOptions(settings=SHORT, seed=5)
    with monkeypatch.context() as patch:
        patch.setattr("grmu_audit.workflows.versions.unlearning.make_version", stopped)
        with pytest.raises(KeyboardInterrupt):
            retrain_seeds(elsewhere, parent.label, forget, 2, options)
    require_no_id_in(elsewhere, forget)
    here = retrain_seeds(session, parent.label, forget, 1, replace(options, seed=6))[0]
    monkeypatch.setattr("grmu_audit.unlearning.apply.apply_method", lambda *_: pytest.fail("it was trained again"))
    there = retrain_seeds(elsewhere, parent.label, forget, 2, options)
    assert [ref.seed for ref in there] == [5, 6]
    for name in ("rows_read.json", "training.json"):
        assert store.run_artifact(str(here.run_id), name) == store.run_artifact(str(there[1].run_id), name)
    assert weights_of(store, here) == weights_of(store, there[1]) != weights_of(store, there[0])
    assert here.config.keys() == there[1].config.keys()
    assert float(str(there[1].config["seconds"])) > 0
    assert not [path for path in (elsewhere.root / "jobs").rglob("*") if path.is_file()]


def require_no_id_in(session: Session, forget: Path) -> None:
    """The folder names the forget set by pseudonyms alone."""
    folder, ids = session.root / "jobs", forget.read_text().split()[1:]
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert not any(name.encode() in content for name in ids)
    assert pseudonyms(session.key, ids[:1])[0].encode() in content
    (study,) = [path.name for path in (folder / "inputs").iterdir() if path.read_bytes().startswith(b'{"data"')]
    runner = session.job_runner()
    assert runner is not None
    assert len(open_study(runner.folder, study).rows("forget")) == len(ids)


def weights_of(store: MemoryStore, ref: ModelRef) -> bytes:
    (path,) = (store.folder / str(ref.run_id)).rglob("state.safetensors")
    return path.read_bytes()


def test_trials_as_jobs_score_as_trials_here(session: Session, elsewhere: Session, base: Base) -> None:
    parent, dataset = base[1], session.dataset_of(base[1])
    request = read_request(session, base[2], dataset, parent)
    choice = choose_method(request, dataset, UnlearnOptions("cf", SHORT, seed=1))
    parts = request.splits
    rows = (np.asarray(part, dtype=np.int64) for part in (parts.retain, parts.forget, parts.val))
    data = UnlearningData(BatchSource(dataset, CPU), *rows)
    found = [tune(one, parent, data, choice, 2) for one in (session, elsewhere)]
    here, there = ([replace(trial, seconds=0.0) for trial in tuned.trials] for tuned in found)
    assert here == there
    assert [trial.number for trial in here] == [0, 1]


def test_a_worker_with_another_key_or_other_data_is_refused(elsewhere: Session, base: Base) -> None:
    runner = elsewhere.job_runner()
    assert runner is not None
    tree = {"data": {"name": "photodigits", "options": {"renders": 1}}, "digest": "0" * 64, "deleted": None, "key_check": ""}
    tree |= {"network": "", "sets": {}, "device": "cpu", "precision": "fp32"}
    with pytest.raises(InputError, match="this worker's key is not the one"):
        open_study(runner.folder, runner.folder.put(json.dumps(tree).encode()))
    tree["key_check"] = studies.key_check(elsewhere.key)
    with pytest.raises(IntegrityError, match=r"has digest .* on this worker, and 0000"):
        open_study(runner.folder, runner.folder.put(json.dumps(tree).encode()))


def test_the_writer_waits_for_a_server_and_for_nothing_else(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    answers = [EnvironmentFailure("no server"), EnvironmentFailure("no server"), 3]

    def record() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(session, record) == 3
    for error, patience in ((DivergedError("nan"), 300), (InputError("no"), 300), (EnvironmentFailure("down"), 0)):
        answers[:] = [error]  # type: ignore[list-item]
        with pytest.raises(type(error)):
            patiently(session, record, patience)


def test_a_worker_knows_which_rows_the_version_was_already_made_without(
    session: Session, elsewhere: Session, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, dataset = base[1], session.dataset_of(base[1])
    request = read_request(session, base[2], dataset, parent)
    parts = request.splits
    rows = (np.asarray(part, dtype=np.int64) for part in (parts.retain, parts.forget, parts.val))
    served = np.sort(np.asarray(parts.forget, dtype=np.int64))[:3]
    data = UnlearningData(BatchSource(dataset, CPU), *rows, served=served)
    seen: list[list[int]] = []

    def searched(own: Session, network: object, given: UnlearningData, one: object) -> object:
        seen.append(given.served.tolist())
        raise DivergedError("enough")

    monkeypatch.setattr("grmu_audit.workflows.versions.tuning._search", searched)
    choice = choose_method(request, dataset, UnlearnOptions("cf", SHORT, seed=1))
    for one in (session, elsewhere):
        with pytest.raises(DivergedError):
            tune(one, parent, data, choice, 1)
    assert seen == [served.tolist()] * 2
    prepared = unlearning._prepare(session, parent.label, base[2], UnlearnOptions("cf", SHORT), None)
    prepared = replace(prepared, request=replace(prepared.request, served=tuple(served.tolist())))
    folder = JobFolder("memory://test-served", session.key)
    study = put_study(session, folder, parent, load_network(session, parent, CPU), dataset, unlearning._sets(session, prepared))
    assert open_study(folder, study).unlearning_data(reweight=False).served.tolist() == served.tolist()


def test_the_result_of_a_job_says_which_rows_each_member_of_an_ensemble_read(session: Session) -> None:
    spec = DataSpec("photodigits", {"renders": 1})
    dataset = session.dataset(spec)
    network = build(model_spec(dataset, NetworkChoice("sisa", {"shards": 2, "member_options": {"widths": [4]}})), 0)
    folder = JobFolder("memory://test-shards", session.key)
    first = session.pseudonyms_of(dataset)[int(dataset.rows("train")[0])]
    study = put_study(session, folder, spec, network, dataset, {"forget": [first]})
    given = {"study": study, "method": "retrain", "reweight": False, "settings": SHORT, "seed": 1}
    content = run_method_job(Job("method", given), folder)
    runtime = session.runtime(1)
    places = places_of_rows(session, dataset)
    runtime.rows_read = BatchSource(dataset, CPU).record_rows(places)
    take_method_result(network, content, runtime)
    assert sorted(runtime.shard_rows) == [0, 1]
    train = dataset.rows("train")
    one, other = (runtime.shard_rows[number].numpy()[places[train]] for number in (0, 1))
    assert one.any()
    assert other.any()
    assert (one.astype(int) + other).tolist() == [0] + [1] * (len(train) - 1)
