"""Any chain of requests, branches, rollbacks and re-registrations: what a lineage has forgotten is in no later training batch."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.deletions import small_table
from support.earlier_stores import before_records
from support.judged_audits import audited, predictions
from support.memory_store import MemoryStore
from support.requests import CLAIMING
from support.sessions import open_session

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import ForgetListError, IntegrityError, NotFoundError
from grmu_audit.evidence import pseudonyms
from grmu_audit.policy import load_named
from grmu_audit.policy.judgement import REVERSAL
from grmu_audit.records import Decision
from grmu_audit.tracking import Actor, promote, read_ledger, rollback, verify
from grmu_audit.tracking.names import REQUEST
from grmu_audit.workflows.audits.collection import AuditSettings, collect
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.target import find_target
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice, load_network
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain, register
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 1, "batch_size": 64}
MLP = NetworkChoice("mlp")
POOL = [f"r{i:03d}" for i in range(96)]
"""Training rows, 24 of each group."""

lists = st.sets(st.sampled_from(POOL[:12] + POOL[24:30]), min_size=1, max_size=5)
steps = st.one_of(
    st.tuples(st.just("request"), st.integers(0, 9), lists, st.sampled_from(["retrain", "cf", "retrain+reweight"])),
    st.tuples(st.just("request of the champion"), lists),
    st.tuples(st.just("pretrain")),
    st.tuples(st.just("register")),
    st.tuples(st.just("promote"), st.integers(0, 9)),
    st.tuples(st.just("rollback")),
)


class Chain:
    """A model's versions, and beside the tool's records what each lineage was asked to forget."""

    def __init__(self, root: Path) -> None:
        self.root, self.small = root, small_table(root / "data")
        self.store = MemoryStore(root / "store")
        self.session: Session = open_session(self.store, root)
        self.numbers = {name: i for i, name in enumerate(self.session.dataset(self.small.spec).frame["id"])}
        self.asked: dict[str, frozenset[str]] = {}
        """What each version's lineage was asked to forget."""
        self.champions: list[str] = []
        self.pretrain()

    def pretrain(self) -> None:
        ref = pretrain(self.session, "m", self.small.spec, MLP, TrainingOptions(SHORT))
        self.asked[ref.version] = frozenset()

    def register(self) -> None:
        from safetensors.torch import save_file

        network = load_network(self.session, self.store.resolve("m/1"), self.session.runtime(0).device)
        path = self.root / "trained.safetensors"
        save_file(network.state_dict(), path)
        self.asked[register(self.session, "m", path, self.small.spec, MLP).ref.version] = frozenset()

    def request(self, model: str, ids: set[str], method: str) -> None:
        parent = self.store.resolve(model)
        path = self.root / "ids.csv"
        path.write_text("id\n" + "\n".join(sorted(ids)) + "\n")
        before = self.asked[parent.version]
        options = UnlearnOptions(method.partition("+")[0], SHORT, reweight="+" in method)
        with rows_read() as read:
            if ids <= before:
                with pytest.raises(ForgetListError, match="already named all"):
                    unlearn(self.session, parent.label, path, options)
                assert not read
                return
            made = unlearn(self.session, parent.label, path, options)
        self.asked[made.version] = before | ids
        gone = {self.numbers[name] for name in before | ids}
        assert read
        assert not read & gone
        if "+" not in method:  # REWEIGHT samples with replacement
            assert read == {self.numbers[name] for name in POOL} - gone

    def promote(self, number: int) -> None:
        ref = self.store.versions("m")[number % len(self.asked)]
        audited(self.store, ref, [predictions(100)], CLAIMING)
        served = frozenset[str]().union(*(self.asked[version] for version in self.champions))
        if served <= self.asked[ref.version]:
            if promote(self.store, ref, Actor("alice")).changed:
                self.champions.append(ref.version)
            return
        with pytest.raises(IntegrityError, match="a champion of m has served"):
            promote(self.store, ref, Actor("alice"))

    def rollback(self) -> None:
        try:
            back = rollback(self.store, "m", Actor("alice", "why")).ref.version
        except (NotFoundError, IntegrityError):
            return
        served = frozenset[str]().union(*(self.asked[version] for version in self.champions))
        assert served <= self.asked[back]
        self.champions.append(back)

    def take(self, step: tuple) -> None:  # type: ignore[type-arg]
        kind, *given_with = step
        if kind == "request":
            number, ids, method = given_with
            self.request(f"m/{1 + number % len(self.asked)}", ids, method)
        elif kind == "request of the champion":
            self.request("m", given_with[0], "retrain")
        else:
            getattr(self, kind)(*given_with)


@contextmanager
def rows_read() -> Iterator[set[int]]:
    """Rows handed out in training batches, counted where batches are made."""
    seen: set[int] = set()
    batches = BatchSource.batches

    def counted(self: BatchSource, rows, size, generator=None, **more):  # type: ignore[no-untyped-def]
        for batch in batches(self, rows, size, generator, **more):
            if generator is not None:  # without one the batches are for evaluation
                seen.update(batch.rows.tolist())
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BatchSource, "batches", counted)
        yield seen


@settings(max_examples=2, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.lists(steps, min_size=4, max_size=7))
def test_no_row_of_an_earlier_request_is_in_a_training_batch(chain: list[tuple]) -> None:  # type: ignore[type-arg]
    with tempfile.TemporaryDirectory() as folder:
        made = Chain(Path(folder))
        for step in chain:
            made.take(step)
        assert verify(made.store, "m") == []
        present = made.store.aliases("m").get("champion")
        assert present == read_ledger(made.store, "m").state.champion == (made.champions[-1] if made.champions else None)


def test_columns_that_all_versions_of_a_lineage_have_lie_in_memory_once(tmp_path: Path) -> None:
    made = Chain(tmp_path)
    for number, name in enumerate(("r000", "r024", "r001"), 1):
        made.request(f"m/{number}", {name}, "retrain")
    found = collect(made.session, find_target(made.session, "m/4", ()), AuditSettings()).inputs
    tables = [table for one in found.earlier for table in (one.before, one.served)]
    assert len(tables) == 4
    assert len({id(one.predictions.logits) for one in found.models.values()}) == len(found.models)
    for table in tables:
        assert table is not None
        for column in ("ids", "split", "target", "attribute", "subject"):
            assert getattr(table, column) is getattr(found.candidate.predictions, column), column


def test_a_version_that_was_trained_on_an_earlier_request_is_a_breach(tmp_path: Path) -> None:
    """As versions were created before requests added up: its record leaves out its own request alone."""
    with before_records():
        made = Chain(tmp_path)
        made.request("m/1", {"r000"}, "retrain")
        made.request("m/2", {"r024"}, "retrain")
    three = made.store.resolve("m/3")
    path = made.store.folder / str(three.run_id) / REQUEST
    own = pseudonyms(made.session.key, ["r024"])
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "pseudonyms": own}))
    found = audit(made.session, "m/3", load_named("default"), tmp_path / "out").audit
    assert found.verdict is not None
    assert found.verdict.decision is Decision.BREACH
    assert [(rule.id, rule.decision) for rule in found.verdict.rules][-1] == (REVERSAL, Decision.BREACH)
    assert [finding.check for finding in verify(made.store, "m")] == ["request"]
    with pytest.raises(IntegrityError, match=r"m/3 was trained on rows that its lineage had forgotten \(request hmac-sha256:"):
        promote(made.store, three, Actor("alice"))
