"""The data of a version: only rows that its lineage has forgotten may be gone, and everything else goes on without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.deletions import KINDS, SmallData, small_table
from support.earlier_stores import before_records
from support.judged_audits import version
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.dataset import Dataset
from grmu_audit.errors import ForgetListError, InputError, IntegrityError
from grmu_audit.policy import load_named
from grmu_audit.records import ModelRef
from grmu_audit.tracking.names import PREDICTIONS
from grmu_audit.workflows.audits.comparison import compare
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.forget_requests import stored_request
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 1, "batch_size": 32}
RETRAIN = UnlearnOptions("retrain", SHORT, reweight=True)


@pytest.fixture(autouse=True)
def _small_groups_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published trees here have a handful of test samples a group."""
    monkeypatch.setattr("grmu_audit.data.quality.checks.MINIMUM_GROUP", 1)


def opened(store: MemoryStore, root: Path) -> Session:
    """A new session, which reads the data anew."""
    return open_session(store, root)


def ids_of(dataset: Dataset, count: int) -> list[str]:
    """The first training rows of one group."""
    frame = dataset.frame
    found = frame[(frame["split"] == "train") & (frame["target"] == 0) & (frame["attribute"] == 0)]
    return [str(name) for name in found["id"].tolist()[:count]]


def listed(path: Path, ids: list[str]) -> Path:
    path.write_text("id\n" + "\n".join(ids) + "\n")
    return path


Line = tuple[MemoryStore, SmallData, ModelRef, list[str]]


@pytest.fixture(params=KINDS)
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Line:
    """A version that was retrained without four rows, and then they were deleted."""
    return begun(KINDS[request.param](tmp_path / "data"), tmp_path)


def begun(small: SmallData, root: Path, *, delete: bool = True) -> Line:
    store = MemoryStore(root / "store")
    session = opened(store, root)
    options = TrainingOptions(SHORT)
    base = pretrain(session, "m", small.spec, NetworkChoice(small.architecture), options)
    ids = ids_of(session.dataset(small.spec), 4)
    one = unlearn(session, base.label, listed(root / "a.csv", ids), RETRAIN)
    if delete:
        small.delete(ids)
    return store, small, one, ids


def test_after_the_deletion_of_forgotten_rows_the_line_goes_on(line: Line, tmp_path: Path) -> None:
    store, _, one, ids = line
    session = opened(store, tmp_path)
    dataset = session.dataset_of(one)
    assert len(dataset.deleted) == 4
    assert dataset.digest != dataset.identity == one.data_digest
    found = audit(session, one.label, load_named("default"), tmp_path / "one").audit
    assert found.data.splits["forget"] == 4
    assert found.metric("UA").n == 4  # type: ignore[union-attr]
    more = ids_of(dataset, 3)
    both = listed(tmp_path / "ab.csv", [*ids, *more])
    two = unlearn(session, one.label, both, RETRAIN)
    assert two.data_digest == one.data_digest
    assert len(stored_request(session, two).pseudonyms) == 4 + len(more)
    table = stored_request(session, two).groups
    assert sum(row.train for row in table) == sum(row.train for row in stored_request(session, one).groups)
    later = audit(opened(store, tmp_path), two.label, load_named("default"), tmp_path / "two").audit
    assert later.metric("UA").n == len(more)  # type: ignore[union-attr]
    assert "forgetting of a few deleted rows" in [missing.name for missing in later.not_measured]
    assert len(compare(session, [one.label, str(one.parent)]).audits) == 2
    with pytest.raises(ForgetListError, match="already named all"):
        unlearn(session, two.label, both, RETRAIN)


def test_reweight_restores_the_group_mix_of_before_the_deletion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights: list[list[float]] = []
    batches = BatchSource.batches

    def seen(self: BatchSource, rows, size, generator=None, **more):  # type: ignore[no-untyped-def]
        if more.get("weights") is not None:
            weights.append(sorted(set(more["weights"].round(6).tolist())))
        return batches(self, rows, size, generator, **more)

    store, _, one, _ = begun(small_table(tmp_path / "data"), tmp_path)
    monkeypatch.setattr(BatchSource, "batches", seen)
    session = opened(store, tmp_path)
    unlearn(session, one.label, listed(tmp_path / "b.csv", ids_of(session.dataset_of(one), 2)), RETRAIN)
    assert weights[0] == [1.0, round(24 / 18, 6)]


Deed = Callable[[Path, SmallData, list[str]], None]


def changed(data: Path, small: SmallData, ids: list[str]) -> None:
    text = (data / "rows.csv").read_text().splitlines()
    text[-1] = text[-1].replace(",a", ",b") if text[-1].endswith("a") else text[-1].replace(",b", ",a")
    (data / "rows.csv").write_text("\n".join(text) + "\n")


def added(data: Path, small: SmallData, ids: list[str]) -> None:
    with (data / "rows.csv").open("a") as stream:
        stream.write("new,train,no,f,0.1,0.2,a\n")


def renamed(data: Path, small: SmallData, ids: list[str]) -> None:
    path = data / "small.yaml"
    path.write_text(path.read_text().replace("kind: table", "kind: table\nversion: '2'"))


DEEDS: dict[str, tuple[Deed, str]] = {
    "another row deleted too": (lambda d, s, i: s.delete([*i, "r023"]), "rows: 1 gone that no request of the lineage named"),
    "a row changed": (changed, "rows: 1 changed"),
    "a row added": (added, "rows: 1 added"),
    "the header changed": (renamed, "another version than it had at training time"),
    "moved to another split": (
        lambda d, s, i: (d / "rows.csv").write_text((d / "rows.csv").read_text().replace("r023,train", "r023,test")) and None,
        "",
    ),
}


@pytest.mark.parametrize(("deed", "said"), DEEDS.values(), ids=DEEDS.keys())
def test_any_other_change_is_refused(tmp_path: Path, deed: Deed, said: str) -> None:
    store, small, one, ids = begun(small_table(tmp_path / "data"), tmp_path)
    deed(tmp_path / "data", small, ids)
    session = opened(store, tmp_path)
    if not said:  # the recorded split is the one that counts
        assert session.dataset_of(one).frame.set_index("id").loc["r023", "split"] == "train"
        return
    with pytest.raises(IntegrityError, match=said):
        session.dataset_of(one)
    base = store.resolve(str(one.parent))
    with pytest.raises(IntegrityError):
        session.dataset_of(base)


def test_rows_that_the_version_itself_has_not_forgotten_may_not_be_gone(tmp_path: Path) -> None:
    store, _, one, _ = begun(small_table(tmp_path / "data"), tmp_path)
    with pytest.raises(IntegrityError, match="rows: 4 gone that no request of the lineage named"):
        opened(store, tmp_path).dataset_of(store.resolve(str(one.parent)))


def test_restored_data_is_the_same_data(tmp_path: Path) -> None:
    with before_records():  # outputs that a record names may not be removed
        store, small, one, ids = begun(small_table(tmp_path / "data"), tmp_path, delete=False)
        whole = (tmp_path / "data" / "rows.csv").read_text()
        small.delete(ids)
        session = opened(store, tmp_path)
        two = unlearn(session, one.label, listed(tmp_path / "b.csv", ids_of(session.dataset_of(one), 2)), RETRAIN)
    (tmp_path / "data" / "rows.csv").write_text(whole)
    session = opened(store, tmp_path)
    assert not session.dataset_of(two).deleted
    found = audit(session, two.label, load_named("default"), tmp_path / "two").audit
    assert found.metric("UA").n == 2  # type: ignore[union-attr]
    store.runs[str(two.run_id)].root.joinpath(PREDICTIONS).unlink()
    again = audit(opened(store, tmp_path), two.label, load_named("default"), tmp_path / "again").audit
    assert again.metric("UA").n == 6  # type: ignore[union-attr]


def test_a_version_that_names_no_dataset_was_not_registered_by_this_tool(tmp_path: Path) -> None:
    session = opened(MemoryStore(tmp_path / "store"), tmp_path)
    for config in ({}, {"data": "small.yaml"}, {"data": {"options": {}}}):
        with pytest.raises(InputError, match="m/1 does not say which dataset it was trained on"):
            session.dataset_of(ModelRef("m", "1", config=config))


def test_data_of_another_digest_is_refused_where_no_rows_were_recorded(tmp_path: Path) -> None:
    session, small = opened(MemoryStore(tmp_path / "store"), tmp_path), small_table(tmp_path / "data")
    ref = version(session.store, "m", tmp_path / "v1", data_digest="0" * 64, config={"data": {"name": small.spec.name}})
    digest = session.dataset(small.spec).digest
    with pytest.raises(IntegrityError, match=f"m/1 was trained on data of digest {'0' * 64}, but 'small' now has {digest}"):
        session.dataset_of(ref)
