"""The requirements of an operator hold wherever the champion can move: promote, its resumption after a crash, rollback."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.crashing_store import Crash, crashing
from support.judged_audits import audited, key_pair, policy, predictions, version

from grmu_audit.errors import GrmuAuditError, InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence.ledger import Entry
from grmu_audit.evidence.signing import load_public_key, load_signer
from grmu_audit.policy import policy_sha256
from grmu_audit.records import ModelRef
from grmu_audit.tracking import (
    NO_REQUIREMENTS,
    Actor,
    Author,
    Requirements,
    Store,
    promote,
    read_ledger,
    resume,
    rollback,
    sign_off,
    verify,
)
from grmu_audit.tracking.ledger import append_entry

_names = itertools.count(1)
ALICE = Actor("alice", "release 7")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("opened", ["memory", "mlflow-sqlite"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    private, public = key_pair(tmp_path_factory.mktemp("keys"))
    return private, load_public_key(public)


@pytest.fixture
def two(store: Store, tmp_path: Path) -> list[ModelRef]:
    """A champion, and a version with a PASS; both unsigned, judged by one policy, not signed off."""
    name = f"required-{next(_names)}"
    refs = [version(store, name, tmp_path / f"v{i}", str(i).encode()) for i in range(2)]
    for ref in refs:
        audited(store, ref, [predictions(100)], policy())
    promote(store, refs[0], ALICE)
    return refs


MOMENTS = [(1, True), (2, False), (2, True), (3, False)]
"""Every write of a promotion after which it has begun and not ended."""
UNMET = ["--policy", "--public-key", "--require-sign-off"]


def unmet(option: str, key: Any) -> Requirements:
    """A requirement that the versions of ``two`` do not meet."""
    if option == "--policy":
        return Requirements(policy_sha256=policy_sha256(policy(0.4)))
    return Requirements(keys=(key,)) if option == "--public-key" else Requirements(sign_off=True)


@pytest.mark.parametrize("option", UNMET)
@pytest.mark.parametrize(("at", "after"), MOMENTS)
def test_a_requirement_that_is_not_met_ends_a_resumed_promotion(
    store: Store, two: list[ModelRef], pair: tuple[Path, Any], option: str, at: int, after: bool
) -> None:
    with pytest.raises(Crash):
        promote(crashing(store, at, after=after), two[1], ALICE)
    with pytest.raises(GrmuAuditError, match=r"another policy|not signed by any|not signed off") as caught:
        resume(store, two[0].name, ALICE, requirements=unmet(option, pair[1]))
    assert int(caught.value.exit_code) == (3 if option == "--require-sign-off" else 6)
    assert store.aliases(two[0].name) == {"champion": two[0].version}
    assert read_ledger(store, two[0].name).entries[-1].entry.kind == "abandoned"
    assert verify(store, two[0].name) == []


@pytest.mark.parametrize("option", UNMET)
def test_no_requirement_is_met_by_promote_or_rollback_either(
    store: Store, two: list[ModelRef], pair: tuple[Path, Any], option: str
) -> None:
    required = unmet(option, pair[1])
    with pytest.raises(GrmuAuditError, match=r"another policy|not signed by any|not signed off"):
        promote(store, two[1], ALICE, requirements=required)
    promote(store, two[1], ALICE)
    with pytest.raises(GrmuAuditError, match=r"another policy|not signed by any|not signed off"):
        rollback(store, two[0].name, ALICE, requirements=required)
    assert store.aliases(two[0].name) == {"champion": two[1].version}


def test_a_policy_that_asks_for_two_people_promotes_nothing_that_they_did_not_sign(
    store: Store, two: list[ModelRef], tmp_path: Path
) -> None:
    audited(store, two[1], [predictions(100)], policy(sign_off="two_people"))
    with pytest.raises(InconclusiveError, match=r"by a preparer: run 'grmu-audit sign-off --model .* --role preparer"):
        promote(store, two[1], ALICE)
    keys = [key_pair(tmp_path, name) for name in ("ana", "ben")]
    for name, role, (private, _) in zip(("ana", "ben"), ("preparer", "reviewer"), keys, strict=True):
        sign_off(store, two[1], role, Author(name, load_signer(private)))
    # other outputs, since two audits of the same ones within one second have the same bytes, and the same sign-offs
    audited(store, two[1], [predictions(110)], policy(sign_off="two_people"), keys[0][0])
    with pytest.raises(InconclusiveError, match="not signed off by a preparer"):
        promote(store, two[1], ALICE)
    for name, role, (private, _) in zip(("ana", "ben"), ("preparer", "reviewer"), keys, strict=True):
        sign_off(store, two[1], role, Author(name, load_signer(private)))
    with pytest.raises(IntegrityError, match="no trusted key tells them apart"):
        promote(store, two[1], ALICE)
    promote(store, two[1], ALICE, requirements=Requirements(keys=tuple(load_public_key(public) for _, public in keys)))
    assert verify(store, two[0].name) == []


@pytest.mark.parametrize("option", UNMET)
def test_resume_without_options_requires_what_the_promotion_was_begun_with(
    store: Store, two: list[ModelRef], pair: tuple[Path, Any], option: str
) -> None:
    """The entry of a promotion that no check of this tool let through: resumed without options, it is held to its own words."""
    required = unmet(option, pair[1])
    begun = promotion_entry(store, two[1], required)
    append_entry(store, begun, two[1])
    expected: type[GrmuAuditError] = {"--policy": IntegrityError, "--require-sign-off": InconclusiveError}.get(option, InputError)
    with pytest.raises(expected):
        resume(store, two[0].name, ALICE)
    assert store.aliases(two[0].name) == {"champion": two[0].version}
    if option == "--public-key":
        with pytest.raises(IntegrityError, match="not signed by any"):
            resume(store, two[0].name, ALICE, requirements=required)
    assert read_ledger(store, two[0].name).entries[-1].entry.kind == "abandoned"


def promotion_entry(store: Store, ref: ModelRef, required: Requirements) -> Entry:
    ledger = read_ledger(store, ref.name)
    audit = ledger.newest_audit(ref.version)
    assert audit is not None
    same = {key: getattr(audit, key) for key in ("audit_run", "audit_sha256", "policy_sha256", "manifest_sha256", "decision")}
    return ledger.new_entry(
        "promote", version=ref.version, champion_before=ledger.state.champion, served=[], required=required.recorded(), **same
    )


@pytest.mark.parametrize(("at", "after"), MOMENTS)
def test_a_promotion_that_meets_all_three_is_resumed(
    store: Store, two: list[ModelRef], pair: tuple[Path, Any], tmp_path: Path, at: int, after: bool
) -> None:
    ref = two[1]
    audited(store, ref, [predictions(100)], policy(), pair[0])
    other, public = key_pair(tmp_path, "ben")
    sign_off(store, ref, "preparer", Author("ana", load_signer(pair[0])))
    sign_off(store, ref, "reviewer", Author("ben", load_signer(other)))
    required = Requirements(policy_sha256(policy()), sign_off=True, keys=(pair[1], load_public_key(public)))
    with pytest.raises(Crash):
        promote(crashing(store, at, after=after), ref, ALICE, requirements=required)
    with pytest.raises(InputError, match=r"begun with --public-key"):
        resume(store, ref.name, ALICE)
    with pytest.raises(InputError, match=r"begun with --public-key"):
        resume(store, ref.name, ALICE, requirements=replace(required, keys=()))
    done = resume(store, ref.name, ALICE, requirements=replace(NO_REQUIREMENTS, keys=required.keys))
    assert done is not None
    assert store.aliases(ref.name) == {"champion": ref.version}
    assert verify(store, ref.name, requirements=required) == []
