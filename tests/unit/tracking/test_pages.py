"""Pages of the registry: written with each audit and promotion, and every edit of them is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.judged_audits import audited, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.errors import ExitCode, IntegrityError
from grmu_audit.records import Audit, ModelRef
from grmu_audit.tracking import Actor, promote, record_audit, verify
from grmu_audit.tracking.pages import PAGE_TAGS

NAME = "described"
Edited = Callable[[MemoryStore, ModelRef, str], object]


@pytest.fixture
def made(tmp_path: Path) -> tuple[MemoryStore, ModelRef, Audit]:
    store = MemoryStore(tmp_path / "store")
    ref = version(store, NAME, tmp_path / "v1")
    return store, ref, audited(store, ref, [predictions(600)], policy())


def edit_run(store: MemoryStore, ref: ModelRef, run: str) -> None:
    store.runs[run].metrics["GA"] = [(0, 0.999)]


def edit_logged(store: MemoryStore, ref: ModelRef, run: str) -> None:
    store.runs[run].audited = [("GA", 0.999)]


EDITS: dict[str, Edited] = {
    "the description": lambda store, ref, run: store.describe(ref, "**PASS**, all is well", run_id=run, artifact="report.html"),
    "tag 'verdict'": lambda store, ref, run: store.tag(ref, {"verdict": "PASSED"}),
    "tag 'valid_until'": lambda store, ref, run: store.tag(ref, {"valid_until": "2099-01-01"}),
    "the metrics of the audit's run": edit_run,
    "the metrics of the logged model": edit_logged,
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_page_is_found_and_the_next_audit_writes_it_anew(made: tuple[MemoryStore, ModelRef, Audit], what: str) -> None:
    store, ref, audit = made
    assert verify(store, NAME) == []
    EDITS[what](store, ref, store.tags(ref)["grmu.audit_run"])
    (found,) = verify(store, NAME)
    assert found.check == "page"
    assert found.error.exit_code is ExitCode.INTEGRITY
    assert f"{what} are not what" in found.message
    with pytest.raises(IntegrityError, match="they were edited"):
        promote(store, ref)
    with store.run(NAME, "audit") as again:
        record_audit(store, again, audit)
    if what != "the description":  # an audit that is recorded without one has none to edit
        assert verify(store, NAME) == []


def test_the_tags_for_people_say_what_the_audit_says(made: tuple[MemoryStore, ModelRef, Audit]) -> None:
    store, ref, audit = made
    assert audit.verdict is not None
    tags = {key: value for key, value in store.tags(ref).items() if key in PAGE_TAGS}
    assert tags["verdict"] == audit.verdict.decision
    assert tags["policy"] == audit.verdict.policy_label
    assert tags["audited"] == str(audit.record["created"])[:10]
    logged = dict(store.logged_metrics(f"m-{store.tags(ref)['grmu.audit_run']}"))
    assert logged["GA"] == audit.metric("GA").value
    assert logged == store.run_metrics(store.tags(ref)["grmu.audit_run"])


def test_the_page_of_the_model_names_its_champion_and_follows_promotions(
    made: tuple[MemoryStore, ModelRef, Audit], tmp_path: Path
) -> None:
    store, first, audit = made
    before = store.model_description(NAME)
    assert before.startswith("**No version was promoted")
    assert f"[1](#/models/{NAME}/versions/1) | unlearned, miu |" in before
    promote(store, first, Actor("ana", "release"), now=datetime.fromisoformat(str(audit.record["created"])).astimezone(UTC))
    text = store.model_description(NAME)
    assert f"Champion: [1](#/models/{NAME}/versions/1), which is served as `models:/{NAME}@champion`" in text
    assert "PASS: described/1" in text, "the champion's own description follows"
    assert verify(store, NAME) == []
    for edited in (before, text + "It is safe.", ""):
        store.describe_model(NAME, edited)
        (found,) = verify(store, NAME)
        assert found.check == "page"
        assert "description of the model described" in found.message
    second = version(store, NAME, tmp_path / "v2")
    audited(store, second, [predictions(600)], policy())
    assert verify(store, NAME) == []
    assert "| [2](#/models/described/versions/2)" in store.model_description(NAME)


def test_of_two_pages_written_at_the_same_time_either_may_be_the_last(made: tuple[MemoryStore, ModelRef, Audit]) -> None:
    from dataclasses import replace

    from grmu_audit.tracking import read_ledger
    from grmu_audit.tracking.ledger import append_entry
    from grmu_audit.utils import sha256_hex

    store, ref, _ = made
    seen = read_ledger(store, NAME)
    for text in ("one", "other"):
        entry = replace(seen.new_entry("waiver"), page_sha256=sha256_hex(text.encode()))
        append_entry(store, entry, ref)
    for text in ("one", "other"):
        store.describe_model(NAME, text)
        assert verify(store, NAME) == []
    later = replace(read_ledger(store, NAME).new_entry("waiver"), page_sha256=sha256_hex(b"third"))
    append_entry(store, later, ref)
    assert len(verify(store, NAME)) == 1
