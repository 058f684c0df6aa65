"""A purge of versions that no network was trained for: what it refuses, what two people sign, and what a crash leaves."""

from __future__ import annotations

import contextlib
import copy
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.crashing_store import Crash, crashing
from support.judged_audits import audit_of, audited, inputs_of, predictions
from support.requests import CLAIMING, purgeable_session, version_without

from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.errors import EnvironmentFailure, GrmuAuditError, InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence.ledger import Entry
from grmu_audit.evidence.purges import purge_state
from grmu_audit.jobs import JobOptions
from grmu_audit.policy import Policy
from grmu_audit.tracking import (
    Actor,
    Author,
    Requirements,
    promote,
    read_ledger,
    record_audit,
    resume,
    rollback,
    sign_off,
    verify,
)
from grmu_audit.tracking.audits import shown_before
from grmu_audit.tracking.names import TAG_PURGED
from grmu_audit.tracking.promotion import restore_alias
from grmu_audit.tracking.requests.purges import read_purge
from grmu_audit.workflows.audits.request_history import past_requests
from grmu_audit.workflows.purges import execution
from grmu_audit.workflows.purges.execution import _begin, purge, resume_purge
from grmu_audit.workflows.purges.holds import hold, release
from grmu_audit.workflows.purges.plan import PurgePlan, plan_purge, require_idle, require_permitted, require_sign_offs, sign_plan
from grmu_audit.workflows.session import Session

ROWS = ("a", "b")
DIGEST = "0123456789abcdef" * 4
"""Name of a file that a job stored."""


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """``m/1`` with all rows, ``m/2`` without two, and a file in a cache."""
    made = purgeable_session(tmp_path, monkeypatch, ROWS)
    made.actor = "anna"
    (made.root / "measured").mkdir(parents=True)
    (made.root / "measured" / "file").write_bytes(b"features")
    return made


def champion(session: Session, version: str = "2") -> None:
    promote(session.store, f"m/{version}", Actor("anna"))


def plan(session: Session) -> PurgePlan:
    return plan_purge(session, "m", "R-1", None)


def files(session: Session) -> dict[str, int]:
    return session.store.run_files(str(session.store.resolve("m/1").run_id))


def test_it_deletes_and_says_so(session: Session) -> None:
    champion(session, "1")
    champion(session)
    session.store.set_alias("m", "candidate", "1")
    done = purge(session, plan(session), "they asked")
    assert (done.versions, done.folders) == (("m/1",), ("measured",))
    assert files(session) == {}
    assert not (session.root / "measured").exists()
    assert "candidate" not in session.store.aliases("m")
    assert session.store.tags(session.store.resolve("m/1"))[TAG_PURGED] == str(done.begun)
    assert verify(session.store, "m") == []
    for move in (promote, rollback):
        with pytest.raises(InconclusiveError, match="m/1 was purged"):
            move(session.store, "m/1", Actor("anna", "why"))  # type: ignore[operator]
    with pytest.raises(InputError, match="nothing of request R-1 is left"):
        purge(session, plan(session))
    assert resume_purge(session, "m") is None


def refusal(session: Session) -> GrmuAuditError:
    with pytest.raises(GrmuAuditError) as found:
        require_permitted(session, plan(session))
    return found.value


def test_what_forbids_it(session: Session) -> None:
    assert "no champion" in str(refusal(session))
    champion(session, "1")
    assert "champion leads to m/1" in str(refusal(session))
    champion(session)
    session.store.set_alias("m", "blue", "1")
    assert "blue leads to m/1" in str(refusal(session))
    session.store.delete_alias("m", "blue")
    hold(session, "m", None, "court case 7")
    hold(session, "m", "R-1", "court case 8")
    with pytest.raises(InputError, match="held already by anna"):
        hold(session, "m", "R-1", "again")
    assert "court case 7" in str(refusal(session))
    release(session, "m", None, "closed")
    assert "court case 8" in str(refusal(session))
    release(session, "m", "R-1", "closed")
    session.store.set_alias("m", "champion", "1")
    assert isinstance(refusal(session), (InputError, IntegrityError))
    assert restore_alias(session.store, "m", Actor("anna", "moved")) > 0
    assert verify(session.store, "m") == []
    with pytest.raises(InputError, match="nothing to restore"):
        restore_alias(session.store, "m", Actor("anna"))
    require_permitted(session, plan(session))
    assert files(session)


def test_two_people_sign_the_very_plan(session: Session) -> None:
    champion(session)
    with pytest.raises(InconclusiveError, match="by a preparer"):
        purge(session, plan(session), sign_off=True)
    sign_plan(session, plan(session), "preparer")
    with pytest.raises(InputError, match="two people"):
        sign_plan(session, plan(session), "reviewer")
    session.actor, session.store.account = "ben", "os:ben"  # type: ignore[misc]
    sign_plan(session, plan(session), "reviewer")
    with pytest.raises(InputError, match="not one of"):
        sign_plan(session, plan(session), "boss")
    with session.store.run("m", "unlearn") as run:  # another file to delete makes it another plan
        run.log_bytes(b"weights", "model/state.safetensors")
    with pytest.raises(InconclusiveError, match="by a preparer"):
        purge(session, plan(session), sign_off=True)
    session.store.remove_files(run.id, ["model/state.safetensors"])
    assert purge(session, plan(session), sign_off=True).versions == ("m/1",)


def signed_by_two(session: Session) -> None:
    for person, role in (("anna", "preparer"), ("ben", "reviewer")):
        session.actor, session.store.account = person, f"os:{person}"  # type: ignore[misc]
        sign_plan(session, plan(session), role)


def purge_entry(session: Session) -> Entry:
    return next(n.entry for n in read_ledger(session.store, "m").entries if n.entry.kind == "purge")


def test_a_champion_that_two_people_signed_is_purged_around_by_two_people(session: Session) -> None:
    ref = session.store.resolve("m/2")
    for person, role in (("anna", "preparer"), ("ben", "reviewer")):
        session.store.account = f"os:{person}"  # type: ignore[misc]
        sign_off(session.store, ref, role, Author(person))
    promote(session.store, "m/2", Actor("anna"), requirements=Requirements(sign_off=True))
    with pytest.raises(InconclusiveError, match=r"a preparer \(m/2 was promoted with --require-sign-off\); nothing"):
        purge(session, plan(session))
    assert files(session)
    signed_by_two(session)
    assert purge(session, plan(session)).versions == ("m/1",)
    assert purge_entry(session).required == {"sign_off": True, "keys": []}


@pytest.mark.parametrize("when", ["promoted by", "audited by since"])
def test_a_policy_that_asks_for_two_people_asks_before_a_purge_too(session: Session, when: str) -> None:
    ref = session.store.resolve("m/2")
    asking = CLAIMING.model_copy(update={"sign_off": "two_people"})
    if when == "promoted by":
        audited(session.store, ref, [predictions(200)], asking)
        for person, role in (("anna", "preparer"), ("ben", "reviewer")):
            session.store.account = f"os:{person}"  # type: ignore[misc]
            sign_off(session.store, ref, role, Author(person))
    champion(session)
    audited(session.store, ref, [predictions(200)], CLAIMING if when == "promoted by" else asking)
    with pytest.raises(InconclusiveError) as refused:
        purge(session, plan(session))
    assert "the policy claiming of m/2 asks for two people (sign_off: two_people)" in str(refused.value)
    assert "run 'grmu-audit --actor NAME requests purge R-1 --model m --sign-off preparer' as that person" in str(refused.value)
    signed_by_two(session)
    assert purge(session, plan(session)).versions == ("m/1",)


def test_one_person_cannot_take_back_that_two_are_asked(session: Session) -> None:
    ref, asking = session.store.resolve("m/2"), CLAIMING.model_copy(update={"sign_off": "two_people"})
    champion(session)
    audited(session.store, ref, [predictions(200)], asking)
    audited(session.store, ref, [predictions(200)], CLAIMING)  # once more, by a policy that does not ask
    with pytest.raises(InconclusiveError, match="asks for two people"):
        purge(session, plan(session))
    assert files(session)


def test_a_purge_that_says_two_people_goes_on_only_with_both(session: Session) -> None:
    champion(session)
    _begin(session, plan(session), "", {"sign_off": True, "keys": []})
    with pytest.raises(IntegrityError, match="no preparer had signed its plan"):
        resume_purge(session, "m")
    assert files(session)


def test_a_purge_that_began_without_the_sign_offs_that_are_asked_does_not_go_on(session: Session) -> None:
    champion(session)
    audited(
        session.store, session.store.resolve("m/2"), [predictions(200)], CLAIMING.model_copy(update={"sign_off": "two_people"})
    )
    _begin(session, plan(session), "")
    with pytest.raises(IntegrityError, match="begun without the sign-offs of two people"):
        resume_purge(session, "m")
    assert files(session)


@pytest.mark.parametrize(("keys", "goes_on"), [([], True), (["another key"], False)])
def test_what_both_have_signed_is_resumed(session: Session, keys: list[str], goes_on: bool) -> None:
    champion(session)
    signed_by_two(session)
    _begin(session, plan(session), "", {"sign_off": True, "keys": keys})
    if goes_on:
        assert resume_purge(session, "m") is not None
        assert verify(session.store, "m") == []
        return
    with pytest.raises(IntegrityError, match="a key that was not trusted then"):
        resume_purge(session, "m")


def test_verify_names_an_ended_purge_that_lacks_its_sign_offs(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    champion(session)
    _begin(session, plan(session), "", {"sign_off": True, "keys": []})
    monkeypatch.setattr(execution, "require_signed_purge", lambda *_: None)  # as somebody's own program would
    assert resume_purge(session, "m") is not None
    (finding,) = verify(session.store, "m")
    assert "no preparer had signed its plan" in finding.message


def test_nobody_asks_for_two_people_by_default(session: Session) -> None:
    champion(session)
    assert not require_sign_offs(session, plan(session))
    purge(session, plan(session))
    assert purge_entry(session).required is None


def test_a_policy_that_was_changed_in_the_store_does_not_say_that_nobody_asks(session: Session) -> None:
    champion(session)
    audit = read_ledger(session.store, "m").newest_audit("2")
    assert audit is not None
    session.store.remove_files(str(audit.audit_run), ["policy.json"])
    with pytest.raises(IntegrityError, match=r"policy\.json of the audit of m/2 is gone or is not the policy that"):
        purge(session, plan(session))
    assert files(session)


def test_a_plan_is_for_the_store_as_it_was(session: Session) -> None:
    champion(session)
    made = plan(session)
    hold(session, "m", None, "since the plan was made")
    with pytest.raises(IntegrityError, match="new entries since the plan"):
        purge(session, made)
    assert files(session)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_a_crash_leaves_is_finished(session: Session, at: int, after: bool) -> None:
    champion(session)
    made, store = plan(session), session.store
    session.store = crashing(store, at, after=after)  # type: ignore[misc]
    with contextlib.suppress(Crash):
        purge(session, made)
    session.store = store  # type: ignore[misc]
    state = purge_state(read_ledger(store, "m"))
    found = [finding.check for finding in verify(store, "m")]
    assert found == (["purge"] if state.open else [])
    assert files(session) if not state.begun else True
    if state.open is not None:
        with pytest.raises(IntegrityError, match="--resume"):
            require_permitted(session, plan(session))
        with pytest.raises(InconclusiveError, match="was purged"):
            promote(store, "m/1", Actor("anna"))
        with pytest.raises(IntegrityError, match="--resume"):
            hold(session, "m", None, "too late")
        assert resume_purge(session, "m") is not None
    elif not state.done:
        purge(session, plan(session))
    assert files(session) == {}
    assert verify(store, "m") == []


def test_runs_that_ended_without_a_version_go_too(session: Session) -> None:
    champion(session)
    with session.store.run("m", "pretrain") as run:
        run.log_bytes(b"half a version", "model/state.safetensors")
        run.log_bytes(b"{}", "training.json")
    with session.store.run("m", "") as other:
        other.log_bytes(b"of another tool", "model/state.safetensors")
    purge(session, plan(session))
    assert set(session.store.run_files(run.id)) == {"training.json"}
    assert session.store.run_files(other.id)


class _Interrupted:
    """A store in which something happens just before the next entry is appended, or before another call."""

    def __init__(self, store: object, happens: Callable[[], object], at: str = "append") -> None:
        self._store, self._happens, self._at = store, [happens], at

    def __getattr__(self, name: str) -> object:
        if name == self._at and self._happens:
            self._happens.pop()()
        return getattr(self._store, name)


def test_a_promotion_that_a_purge_overtakes_is_abandoned(session: Session) -> None:
    champion(session, "1")
    champion(session)
    store = session.store
    racing = _Interrupted(store, lambda: purge(session, plan(session)))
    with pytest.raises(InconclusiveError, match="m/1 was purged"):
        rollback(racing, "m/1", Actor("anna", "why", reopen=("R-1",)))  # type: ignore[arg-type]
    assert store.aliases("m")["champion"] == "2"
    assert read_ledger(store, "m").state.open is None
    assert verify(store, "m") == []


def test_a_purge_that_a_promotion_overtakes_deletes_nothing(session: Session) -> None:
    champion(session, "1")
    champion(session)
    made, store = plan(session), session.store
    session.store = _Interrupted(store, lambda: rollback(store, "m/1", Actor("anna", "why", reopen=("R-1",))))  # type: ignore
    with pytest.raises(IntegrityError, match="a promotion of m came first"):
        purge(session, made)
    session.store = store  # type: ignore[misc]
    assert store.aliases("m")["champion"] == "1"
    assert files(session)
    assert purge_state(read_ledger(store, "m")).begun == ()
    assert verify(store, "m") == []


def test_a_purge_that_a_promotion_overtook_before_a_crash_is_not_resumed(session: Session) -> None:
    champion(session, "1")
    champion(session)
    made, store = plan(session), session.store
    racing = _Interrupted(store, lambda: rollback(store, "m/1", Actor("anna", "why", reopen=("R-1",))))
    session.store = crashing(racing, 1, after=True)  # type: ignore
    with pytest.raises(Crash):
        purge(session, made)
    session.store = store  # type: ignore[misc]
    with pytest.raises(IntegrityError, match="a promotion of m came first"):
        resume_purge(session, "m")
    assert resume_purge(session, "m") is None
    assert store.aliases("m")["champion"] == "1"
    assert files(session)
    assert purge_state(read_ledger(store, "m")).begun == ()
    assert verify(store, "m") == []


def test_an_audit_that_invents_a_purge_promotes_nothing(session: Session) -> None:
    ref = session.store.resolve("m/2")
    audited(session.store, ref, [predictions(100), predictions(101)], CLAIMING, purged={"baseline": "gone on purpose"})
    with pytest.raises(IntegrityError, match="says that its baseline was purged, and the ledger does not"):
        champion(session)


def test_what_showed_forgetting_before_a_purge_is_an_audit_that_passed_a_policy_on_it(session: Session) -> None:
    store, second = session.store, session.store.resolve("m/2")
    third = version_without(store, "m", ROWS, store.resolve("m/1"), "R-1", claims=False)  # type: ignore[arg-type]
    fourth = version_without(store, "m", ROWS, store.resolve("m/1"), "R-1")  # type: ignore[arg-type]
    failed = Policy.model_validate({**CLAIMING.model_dump(by_alias=True), "rules": [{"id": "t", "metric": "TA", "min": 1.0}]})
    audited(store, fourth, [predictions(100)], failed)
    champion(session)
    assert shown_before(store, read_ledger(store, "m"), second, "1") == ""
    purge(session, plan(session))
    ledger = read_ledger(store, "m")
    assert "by claiming" in shown_before(store, ledger, second, "1")
    assert shown_before(store, ledger, third, "1") == ""
    assert shown_before(store, ledger, fourth, "1") == ""
    audited(store, third, [predictions(100)], CLAIMING)
    assert shown_before(store, read_ledger(store, "m"), third, "1") == "", "made after the purge"


def opened(session: Session, jobs: Path) -> Path:
    """A purge begun with a folder of jobs, killed before it deletes any folder; returns a file in that folder."""
    session.jobs = JobOptions(folder=str(jobs))  # type: ignore[misc]
    (jobs / "inputs").mkdir(parents=True)
    (jobs / "inputs" / ("ab" * 32)).write_bytes(b"rows of people")
    champion(session)
    made, store = plan(session), session.store
    session.store = crashing(store, 1, after=True)  # type: ignore[misc]
    with contextlib.suppress(Crash):
        purge(session, made)
    session.store, session.jobs = store, JobOptions()  # type: ignore[misc]
    assert purge_state(read_ledger(store, "m")).open is not None
    return jobs / "inputs" / ("ab" * 32)


def test_a_purge_ends_only_where_the_caches_it_began_with_are_gone(session: Session, tmp_path: Path) -> None:
    rows = opened(session, tmp_path / "jobs")
    assert rows.exists()
    with pytest.raises(InputError, match=r"jobs/inputs, which this command does not use.*--job-folder"):
        resume_purge(session, "m")
    assert purge_state(read_ledger(session.store, "m")).open is not None
    session.jobs = JobOptions(folder=os.path.relpath(tmp_path / "jobs"))  # type: ignore[misc]
    done = resume_purge(session, "m")
    assert done is not None
    assert (done.folders, done.elsewhere) == (("measured", "inputs of jobs"), ())
    assert not rows.exists()


def test_caches_of_another_machine_are_named_and_those_of_this_one_stay(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(session, tmp_path / "jobs")
    host = platform.node()
    (session.root / "measured").mkdir(exist_ok=True)
    (session.root / "measured" / "other").write_bytes(b"of this machine")
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    done = resume_purge(session, "m")
    assert done is not None
    assert done.folders == ()
    assert done.elsewhere[1] == f"{tmp_path}/jobs/inputs on {host}"
    assert (session.root / "measured" / "other").exists()
    assert "not deleted: " in str(read_ledger(session.store, "m").entries[-1].entry.reason)


def test_an_audit_that_a_purge_overtakes_keeps_no_outputs(session: Session) -> None:
    store, ref = session.store, session.store.resolve("m/2")
    tables = [predictions(100), predictions(101)]
    champion(session)
    made = replace(audit_of(ref, tables, CLAIMING), baseline=store.resolve("m/1"))
    files = evidence_files(made, CLAIMING, inputs_of(ref, tables))
    during = _Interrupted(store, lambda: purge(session, plan(session)))  # between the look at the ledger and the entry
    for place in (during, store):
        with pytest.raises(IntegrityError, match="m/1 was purged while the audit of m/2 ran"), store.run("m", "audit") as run:
            record_audit(place, run, made, files)  # type: ignore[arg-type]
        assert not [path for path in store.run_files(run.id) if path.startswith("predictions/")]
    known = replace(made, record={**made.record, "purged": {"baseline": "gone on purpose"}})
    with store.run("m", "audit") as run:
        record_audit(store, run, known, files)
    assert [path for path in store.run_files(run.id) if path.startswith("predictions/")]


def test_a_hold_that_comes_between_plan_and_entry_stops_the_purge(session: Session) -> None:
    champion(session)
    made, store = plan(session), session.store
    other = copy.copy(session)
    session.store = _Interrupted(store, lambda: hold(other, "m", None, "court case 9"))  # type: ignore
    with pytest.raises(InputError, match="court case 9"):
        purge(session, made)
    session.store = store  # type: ignore[misc]
    assert files(session)
    assert purge_state(read_ledger(store, "m")).begun == ()
    release(session, "m", None, "closed")
    assert verify(store, "m") == []


def test_a_hold_that_a_purge_overtakes_says_so(session: Session) -> None:
    champion(session)
    store = session.store
    other, made = copy.copy(session), plan(session)
    other.store = crashing(store, 1, after=True)  # type: ignore[misc]

    def begin() -> None:
        with contextlib.suppress(Crash):
            purge(other, made)

    session.store = _Interrupted(store, begin)  # type: ignore
    with pytest.raises(IntegrityError, match="has begun and not ended"):
        hold(session, "m", None, "too late")


def test_a_folder_that_is_no_folder_of_jobs_is_refused_and_stays(session: Session, tmp_path: Path) -> None:
    champion(session)
    work, digest = tmp_path / "work", "cd" * 32
    (work / "results" / digest).mkdir(parents=True)
    (work / "results" / "thesis.csv").write_bytes(b"years of work")
    (work / "inputs").mkdir()
    (work / "inputs" / digest).write_bytes(b"rows of people")
    (work / "inputs" / f".{digest}.0123456789ab.tmp").write_bytes(b"rows")
    session.jobs = JobOptions(folder=str(work))  # type: ignore[misc]
    with pytest.raises(InputError, match=r"results holds 'thesis.csv', which no job stored"):
        plan(session)
    (work / "results" / "thesis.csv").rename(work / "thesis.csv")
    made = plan(session)
    (work / "inputs" / "late.csv").write_bytes(b"written since the plan")
    with pytest.raises(InputError, match=r"inputs holds 'late.csv'"):
        purge(session, made)
    assert (work / "inputs" / digest).exists()
    (work / "inputs" / "late.csv").rename(work / "late.csv")
    assert resume_purge(session, "m") is not None
    assert sorted(path.name for path in work.rglob("*")) == ["inputs", "late.csv", "results", "thesis.csv"]


def test_a_purged_request_is_listed_as_one_that_cannot_be_measured(session: Session) -> None:
    store = session.store
    third = version_without(store, "m", ("c",), store.resolve("m/2"), "R-2", union=(*ROWS, "c"))  # type: ignore[arg-type]
    (before,) = past_requests(session, third)
    assert (before.why_purged, len(before.versions)) == ("", 2)
    champion(session)
    purge(session, plan(session))
    (after,) = past_requests(session, third)
    assert after.why_purged.startswith("m/1 was purged")
    assert (after.rows, after.versions, after.measured({}).before) == (before.rows, (), None)


def test_restoring_the_alias_undoes_no_promotion(session: Session) -> None:
    store = session.store
    champion(session, "1")
    racing = _Interrupted(store, lambda: champion(session), "aliases")  # it begins and ends just before the alias is read
    with pytest.raises(InputError, match="nothing to restore"):
        restore_alias(racing, "m", Actor("anna", "moved"))  # type: ignore[arg-type]
    assert store.aliases("m")["champion"] == "2"
    store.set_alias("m", "champion", "1")

    def begin() -> None:
        store.set_alias("m", "champion", "2")
        with contextlib.suppress(Crash):
            rollback(crashing(store, 1, after=True), "m/1", Actor("ben", "why", reopen=("R-1",)))
        store.set_alias("m", "champion", "1")

    with pytest.raises(IntegrityError, match="another promotion of m came first"):
        restore_alias(_Interrupted(store, begin), "m", Actor("anna", "moved"))  # type: ignore[arg-type]
    assert store.aliases("m")["champion"] == "1"


def test_an_alias_is_restored_after_its_entry(session: Session) -> None:
    champion(session)
    session.store.set_alias("m", "champion", "1")
    with pytest.raises(Crash):
        restore_alias(crashing(session.store, 1, after=True), "m", Actor("anna", "moved"))
    assert read_ledger(session.store, "m").entries[-1].entry.kind == "restored"
    assert session.store.aliases("m")["champion"] == "1"
    assert restore_alias(session.store, "m", Actor("anna", "moved")) > 0
    assert session.store.aliases("m")["champion"] == "2"


def test_only_a_person_signs_a_plan(session: Session) -> None:
    champion(session)
    for name in ("unknown", " "):
        session.actor = name
        with pytest.raises(InputError, match="a sign-off needs the name of a person: give --actor"):
            sign_plan(session, plan(session), "preparer")
    session.actor = "anna"
    assert sign_plan(session, plan(session), "preparer") == read_ledger(session.store, "m").last


def test_a_hold_ends_for_a_reason(session: Session) -> None:
    hold(session, "m", "R-1", "court case 8")
    for reason in ("", "  "):
        with pytest.raises(InputError, match="--reason: say why the hold ends"):
            release(session, "m", "R-1", reason)
    with pytest.raises(InputError, match="court case 8"):
        hold(session, "m", "R-1", "again")


def test_nothing_is_purged_while_a_promotion_is_open(session: Session) -> None:
    champion(session, "1")
    with pytest.raises(Crash):
        promote(crashing(session.store, 1, after=True), "m/2", Actor("anna"))
    with pytest.raises(IntegrityError, match="--resume"):
        require_idle(session, read_ledger(session.store, "m"))
    assert resume(session.store, "m", Actor("anna")) is not None
    require_idle(session, read_ledger(session.store, "m"))


@pytest.mark.parametrize("place", ["measured", "jobs/inputs"])
def test_a_cache_behind_a_symbolic_link_is_left_to_a_person(session: Session, tmp_path: Path, place: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / DIGEST).write_bytes(b"features")
    session.jobs = JobOptions("local", folder=str(tmp_path / "jobs"))
    link = (session.root if place == "measured" else tmp_path) / place
    shutil.rmtree(link, ignore_errors=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    champion(session)
    with pytest.raises(InputError, match=f"{link} is a symbolic link: delete what it leads to by hand, then resume"):
        purge(session, plan(session), "they asked")
    assert (elsewhere / DIGEST).read_bytes() == b"features"
    link.unlink()
    done = resume_purge(session, "m")
    assert done is not None
    assert done.versions == ("m/1",)


def test_a_cache_that_is_written_again_during_a_purge_keeps_it_open(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    champion(session)
    cache = session.root / "measured"
    removed = shutil.rmtree

    def written_again(path: Path) -> None:
        removed(path)
        cache.mkdir()
        (cache / "file").write_bytes(b"features")

    with monkeypatch.context() as patch:
        patch.setattr(execution.shutil, "rmtree", written_again)
        with pytest.raises(EnvironmentFailure, match=f"written again meanwhile: {cache}; stop what writes there, then resume"):
            purge(session, plan(session), "they asked")
    assert purge_state(read_ledger(session.store, "m")).open is not None
    done = resume_purge(session, "m")
    assert done is not None
    assert not cache.exists()


def test_a_file_that_a_store_does_not_delete_keeps_a_purge_open(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    champion(session)
    with monkeypatch.context() as patch:
        patch.setattr(session.store, "remove_files", lambda run, paths: None)
        with pytest.raises(
            EnvironmentFailure, match=r"not deleted: .*state.safetensors.*; finish with 'requests purge --model m"
        ):
            purge(session, plan(session), "they asked")
    assert files(session)
    assert resume_purge(session, "m") is not None
    assert files(session) == {}


def test_a_version_that_was_deleted_during_a_purge_needs_no_mark(session: Session) -> None:
    champion(session)
    begun, planned = replace(session), plan(session)
    begun.store = crashing(session.store, 1, after=True)  # type: ignore[misc]
    with pytest.raises(Crash):
        purge(begun, planned, "they asked")
    session.store._models["m"].pop("1")  # type: ignore[attr-defined]
    done = resume_purge(session, "m")
    assert done is not None
    assert done.versions == ("m/1",)
    assert purge_state(read_ledger(session.store, "m")).open is None


def test_the_record_and_the_kept_outputs_of_a_purge_are_those_that_the_ledger_names(session: Session) -> None:
    champion(session)
    purge(session, plan(session), "they asked")
    entry = purge_entry(session)
    path = Path(session.store.folder) / str(entry.run) / "purge.json"  # type: ignore[attr-defined]
    assert "1" in read_purge(session.store, entry).versions
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=rf"purge.json of m \(run {entry.run}\) is gone or is not the record"):
        read_purge(session.store, entry)
    path.unlink()
    with pytest.raises(IntegrityError, match=rf"purge.json of m \(run {entry.run}\) is gone or is not the record"):
        read_purge(session.store, entry)
