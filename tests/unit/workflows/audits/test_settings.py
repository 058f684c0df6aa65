"""What an audit is asked for, before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judged_audits import version
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.workflows.audits.collection import MOST_DAYS, AuditSettings
from grmu_audit.workflows.audits.publication import check_files_unchanged
from grmu_audit.workflows.audits.shadow import MIN_SHADOW_MODELS, ShadowOptions, collect_shadows
from grmu_audit.workflows.audits.target import AuditTarget


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": "deepest"}, "deepest"),
        ({"valid_days": 0}, f"a verdict cannot hold for 0 days: use 1 to {MOST_DAYS}"),
        ({"valid_days": MOST_DAYS + 1}, f"a verdict cannot hold for {MOST_DAYS + 1} days: use 1 to {MOST_DAYS}"),
        ({"return_epochs": 0}, "0 epochs of fine-tuning on the retain set: use 1 or more"),
        ({"pgd_samples": 0}, "PGD on 0 test samples: use 1 or more, or none for all"),
    ],
)
def test_settings_that_measure_nothing_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        AuditSettings(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"valid_days": 1}, {"valid_days": MOST_DAYS}, {"return_epochs": 1}, {"pgd_samples": 1}])
def test_the_smallest_and_largest_settings_are_taken(options: dict[str, int]) -> None:
    settings = AuditSettings(**options)  # type: ignore[arg-type]
    assert {name: getattr(settings, name) for name in options} == options


def test_files_that_were_changed_since_registration_are_not_used(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    ref, session = version(store, "m", tmp_path / "v1"), open_session(store, tmp_path)
    check_files_unchanged(session, ref)
    next((tmp_path / "store").rglob("state.safetensors")).write_bytes(b"others")
    with pytest.raises(IntegrityError, match="the stored files of m/1 are not the ones that were registered: do not use"):
        check_files_unchanged(session, ref)


def test_too_few_shadow_models_are_said_before_anything_is_trained(tmp_path: Path) -> None:
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    version(session.store, "m", tmp_path / "v1")
    target = AuditTarget.__new__(AuditTarget)  # nothing of it is looked at
    found = collect_shadows(session, target, ShadowOptions(models=MIN_SHADOW_MODELS - 1))
    assert found.table is None
    assert found.why == f"{MIN_SHADOW_MODELS - 1} shadow models were requested; {MIN_SHADOW_MODELS} are needed"
    assert (found.samples, found.facts) == (0, {})
