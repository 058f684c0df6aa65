"""Registration records: whatever an audit is computed from is what it was when its version was registered."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from support.crashing_store import Crash, crashing
from support.earlier_stores import before_records
from support.judged_audits import audit_of, key_pair, policy, predictions
from support.memory_store import MemoryStore

from grmu_audit.errors import GrmuAuditError, InconclusiveError, IntegrityError, NotFoundError
from grmu_audit.evidence.ledger import Author
from grmu_audit.evidence.registration import registration_of
from grmu_audit.evidence.signing import load_public_key, load_signer, signed_by
from grmu_audit.records import Audit, ModelRef
from grmu_audit.tracking import (
    Actor,
    lineage_tags,
    promote,
    read_evidence,
    read_ledger,
    record_audit,
    require_model,
    resume,
    rollback,
    verify,
)
from grmu_audit.tracking.names import LINEAGE_TAGS, RUN_FILES, TAG_MANIFEST, TAG_PARENT, TAG_REGISTRATION
from grmu_audit.tracking.registration import enter_registration, unbound_versions, version_artifact
from grmu_audit.tracking.store import LogEntry
from grmu_audit.utils import sha256_hex

ALICE = Actor("alice", "release")
ANA = Author("ana")
LEFT_OUT = "rows_read.json"
"""The artifact that these versions do not have."""
FILES = [name for name in RUN_FILES if name != LEFT_OUT]


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(tmp_path / "store")


@pytest.fixture
def made(store: MemoryStore, tmp_path: Path) -> Callable[..., ModelRef]:
    """A version with artifacts that differ from those of any other."""

    def make(parent: ModelRef | None = None, author: Author = ANA) -> ModelRef:
        folder = tmp_path / f"v{len(store.runs)}"
        folder.mkdir()
        (folder / "state.safetensors").write_bytes(folder.name.encode())
        label = parent.label if parent else None
        described = ModelRef("m", "", method="miu", parent=label, seed=len(store.runs), data_digest="d" * 64, architecture="x")
        with store.run("m", "unlearn") as run:
            for name in FILES:
                run.log_bytes(f"{name} of {run.id}".encode(), name)
            role = "unlearned" if parent else "pretrain"
            return store.register(run, "m", folder, role=role, tags=lineage_tags(described), author=author)

    return make


@cache
def judged() -> Audit:
    """One PASS for all: nothing here depends on its numbers."""
    return audit_of(ModelRef("m", "1"), [predictions(100)], policy())


def audited(store: MemoryStore, ref: ModelRef, baseline: ModelRef | None = None, root: ModelRef | None = None) -> None:
    audit = replace(judged(), subject=ref, baseline=baseline, root=root)
    with store.run("m", "audit") as run:
        record_audit(store, run, audit)


def place(store: MemoryStore, ref: ModelRef, name: str) -> Path:
    return store.folder / str(ref.run_id) / name


def found(store: MemoryStore) -> str:
    return " | ".join(f"{finding.check} {int(finding.error.exit_code)}: {finding.message}" for finding in verify(store, "m"))


@pytest.fixture
def pair(store: MemoryStore, made: Callable[..., ModelRef]) -> tuple[ModelRef, ModelRef]:
    """A version, and one that was derived from it; both audited, the second with the first as its baseline."""
    base = made()
    ref = made(base)
    audited(store, base)
    audited(store, ref, base)
    assert found(store) == ""
    return base, ref


def test_a_record_names_every_tag_and_every_artifact(store: MemoryStore, made: Callable[..., ModelRef], tmp_path: Path) -> None:
    private, public = key_pair(tmp_path)
    base = made()
    ref = made(base, Author("ana", load_signer(private)))
    ledger = read_ledger(store, "m")
    first = ledger.entries[0].entry
    assert (first.kind, first.run, first.version, first.last_unbound, first.actor) == (
        "registration",
        base.run_id,
        None,
        0,
        "ana",
    )
    assert ledger.entries[1].entry.last_unbound is None
    kept = registration_of(ledger, ref)
    assert kept is not None
    assert kept.sha256 == store.tags(ref)[TAG_REGISTRATION]
    assert kept.record.parent == (base.label, base.manifest_sha256)
    assert kept.record.manifest_sha256 == ref.manifest_sha256
    assert kept.record.files == {name: sha256_hex(f"{name} of {ref.run_id}".encode()) for name in FILES}
    tags = store.tags(ref)
    assert kept.record.tags == {key: sha256_hex(tags[key].encode()) for key in LINEAGE_TAGS if key in tags}
    assert signed_by(kept.envelope, [load_public_key(public)])
    assert not signed_by(registration_of(ledger, base).envelope, [load_public_key(public)])  # type: ignore[union-attr]


@pytest.mark.parametrize("whose", ["candidate", "baseline"])
@pytest.mark.parametrize("name", RUN_FILES)
@pytest.mark.parametrize("deed", ["another version's", "first byte", "last byte", "cut", "gone or added"])
def test_every_artifact(
    store: MemoryStore, made: Callable[..., ModelRef], pair: tuple[ModelRef, ModelRef], whose: str, name: str, deed: str
) -> None:
    base, ref = pair
    victim, file = (ref, place(store, ref, name)) if whose == "candidate" else (base, place(store, base, name))
    content = file.read_bytes() if file.exists() else None
    if content is None or deed == "gone or added":
        file.unlink() if content is not None else file.write_bytes(b"one more")
    else:
        file.write_bytes(
            {
                "another version's": place(store, made(base), name).read_bytes(),
                "first byte": bytes([content[0] ^ 1]) + content[1:],
                "last byte": content[:-1] + bytes([content[-1] ^ 1]),
                "cut": content[:-1],
            }[deed]
        )
    assert f"{name} of {victim.label}" in found(store)
    for action in (lambda: promote(store, ref, ALICE), lambda: read_evidence(store, ref)):
        with pytest.raises(IntegrityError, match=f"{name} of {victim.label}"):
            action()
    with pytest.raises(IntegrityError, match="since it was registered"):
        version_artifact(store, victim, name)
    assert store.aliases("m") == {}


@pytest.mark.parametrize("key", [*LINEAGE_TAGS, TAG_REGISTRATION])
@pytest.mark.parametrize("deed", ["edited", "added or gone"])
def test_every_tag(store: MemoryStore, pair: tuple[ModelRef, ModelRef], key: str, deed: str) -> None:
    ref = pair[1]
    tags = store._version("m", ref.version).tags
    if key not in tags:
        tags[key] = "x"
    elif deed == "edited":
        tags[key] = {TAG_PARENT: ref.label, "grmu.seed": "77", "grmu.config": '{"n":1}'}.get(key, tags[key][:-1] + "!")
    else:
        del tags[key]
    assert "registration 6" in found(store) or "evidence 6" in found(store)
    with pytest.raises(IntegrityError):
        promote(store, f"m/{ref.version}", ALICE)
    assert store.aliases("m") == {}


def test_a_version_as_its_own_parent(store: MemoryStore, pair: tuple[ModelRef, ModelRef]) -> None:
    store.tag(pair[1], {TAG_PARENT: pair[1].label})
    assert f"tag 'grmu.parent' of {pair[1].label} is not what it was at registration" in found(store)


def test_a_parent_with_other_files(store: MemoryStore, pair: tuple[ModelRef, ModelRef]) -> None:
    store.tag(pair[0], {TAG_MANIFEST: "0" * 64})
    assert f"{pair[0].label}, the parent of {pair[1].label}, no longer has the files that it had" in found(store)


def test_a_later_version_without_a_record_is_damaged(store: MemoryStore, made: Callable[..., ModelRef]) -> None:
    made()
    with before_records():
        forged = made()
    assert f"registration 6: {forged.label} has no registration record" in found(store)
    audited(store, forged)
    with pytest.raises(IntegrityError, match="has no registration record"):
        promote(store, forged, ALICE)


def test_a_second_version_of_one_run(store: MemoryStore, pair: tuple[ModelRef, ModelRef]) -> None:
    versions = store._models["m"]
    versions["3"] = replace(versions["2"], tags=dict(versions["2"].tags))
    assert "registration 6: m/3 names the run of m/2" in found(store)


def test_a_second_record_of_one_version_is_forged(store: MemoryStore, pair: tuple[ModelRef, ModelRef]) -> None:
    ref = pair[1]
    place(store, ref, "predictions.parquet").write_bytes(b"forged")
    files = {"predictions.parquet": sha256_hex(b"forged")}
    enter_registration(store, replace(ref, version=""), store.tags(ref), files, Author("mallory"))
    assert f"2 registration records of {ref.label}: one is forged" in found(store)


def test_versions_of_before_records(store: MemoryStore, made: Callable[..., ModelRef]) -> None:
    with before_records():
        base = made()
        champion, other = made(base), made(base)
        for ref in (champion, other):
            audited(store, ref, base)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("grmu_audit.tracking.requirements._check_bound", lambda evidence: None)
            promote(store, champion, ALICE)
            promote(store, other, ALICE)
    assert found(store) == ""
    assert [ref.label for ref in unbound_versions(store, read_ledger(store, "m"))] == ["m/1", "m/2", "m/3"]
    with pytest.raises(InconclusiveError, match=r"m/2, m/1 had no registration record then; run 'grmu-audit register --bind"):
        rollback(store, champion, Actor("alice", "why"))
    entry = read_ledger(store, "m").entries[-1].entry
    assert (entry.kind, entry.last_unbound) == ("refusal", 3)
    assert made(base).version == "4"
    assert found(store) == ""
    for ref in (base, champion):
        bind(store, ref)
    assert [ref.label for ref in unbound_versions(store, read_ledger(store, "m"))] == ["m/3"]
    with pytest.raises(InconclusiveError, match="then audit m/2 again"):
        rollback(store, champion, Actor("alice", "why"))
    audited(store, champion, base)
    assert rollback(store, champion, Actor("alice", "why")).ref.version == "2"
    assert found(store) == ""
    place(store, base, "predictions.parquet").write_bytes(b"swapped")
    assert "predictions.parquet of m/1 was changed" in found(store)


def test_the_root_of_a_lineage_is_an_input_like_the_baseline(store: MemoryStore, made: Callable[..., ModelRef]) -> None:
    with before_records():
        root = made()
        parent = made(root)
    bind(store, parent)
    audited(store, made(parent), parent, root)
    with pytest.raises(InconclusiveError, match=r"m/1 had no registration record then"):
        promote(store, "m/3", ALICE)
    bind(store, root)
    with pytest.raises(InconclusiveError, match="then audit m/3 again"):
        promote(store, "m/3", ALICE)
    audited(store, store.resolve("m/3"), parent, root)
    place(store, root, "predictions.parquet").write_bytes(b"swapped")
    with pytest.raises(IntegrityError, match=r"predictions.parquet of m/1 was changed"):
        read_evidence(store, store.resolve("m/3"))


def bind(store: MemoryStore, ref: ModelRef) -> None:
    files = {name: sha256_hex(place(store, ref, name).read_bytes()) for name in FILES}
    enter_registration(store, ref, store.tags(ref), files, ANA)


def test_killed_before_the_first_version_nothing_was_lost(store: MemoryStore) -> None:
    with store.run("m", "pretrain") as run:
        described = ModelRef("m", "", run_id=run.id)
        enter_registration(store, described, {TAG_MANIFEST: "0" * 64}, {}, Author("ana"))
    with pytest.raises(NotFoundError, match="no model 'm'"):
        require_model(store, "m")


def test_a_record_of_another_form_is_damage(store: MemoryStore, pair: tuple[ModelRef, ModelRef]) -> None:
    from grmu_audit.evidence.registration import read_registration
    from grmu_audit.evidence.signing import sign_envelope

    with pytest.raises(GrmuAuditError) as caught:
        read_registration(sign_envelope(json.dumps({}).encode(), None))
    assert int(caught.value.exit_code) == 6
    kept = registration_of(read_ledger(store, "m"), pair[1])
    assert kept is not None
    payload = kept.record.statement().replace(b"urn:grmu-audit:registration:v1", b"urn:grmu-audit:registration:v9")
    with pytest.raises(IntegrityError, match="of no known form"):
        read_registration(sign_envelope(payload, None))


def test_a_promotion_that_was_begun_is_not_resumed_over_swapped_inputs(
    store: MemoryStore, pair: tuple[ModelRef, ModelRef]
) -> None:
    with pytest.raises(Crash):
        promote(crashing(store, 2, after=False), pair[1], ALICE)
    place(store, pair[0], "predictions.parquet").write_bytes(place(store, pair[1], "predictions.parquet").read_bytes())
    with pytest.raises(IntegrityError, match=r"predictions\.parquet of m/1 was changed"):
        resume(store, "m", ALICE)
    assert store.aliases("m") == {}


def test_what_is_registered_or_promoted_while_verify_reads_is_no_finding(
    store: MemoryStore, made: Callable[..., ModelRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made()
    audited(store, first)
    promote(store, first, ALICE)
    entries, steps = store.entries, [made, lambda: promote(store, first, ALICE)]

    def written_meanwhile(log: str) -> list[LogEntry]:
        """What is read; then somebody else writes."""
        found = entries(log)
        monkeypatch.setattr(store, "entries", entries)
        if steps:
            steps.pop(0)()
            monkeypatch.setattr(store, "entries", written_meanwhile)
        return found

    monkeypatch.setattr(store, "entries", written_meanwhile)
    assert verify(store, "m") == []
    assert not steps
    store.set_alias("m", "champion", store.versions("m")[-1].version)
    assert [finding.check for finding in verify(store, "m")] == ["alias"]
