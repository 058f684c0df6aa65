from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence import ledger
from grmu_audit.records import ModelRef
from grmu_audit.tracking import artifacts, names
from grmu_audit.tracking.ledger import inspect_ledger
from grmu_audit.tracking.mlflow.environment import locate, shown_uri
from grmu_audit.tracking.references import Reference, check_alias, parse_reference
from grmu_audit.tracking.store import LogEntry


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("celeba-v3", Reference("celeba-v3")),
        ("celeba-v3/12", Reference("celeba-v3", version="12")),
        ("celeba-v3@champion", Reference("celeba-v3", alias="champion")),
        ("models:/celeba-v3/12", Reference("celeba-v3", version="12")),
        ("models:/celeba-v3@gold", Reference("celeba-v3", alias="gold")),
    ],
)
def test_the_forms_of_a_reference(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    "text", ["", "a/0", "a/01", "a/x", "a/latest", "models:/a", "models:/a/latest", "a@", "a@v3", "a/1@b", "../a", "a//1"]
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InputError):
        parse_reference(text)


@pytest.mark.parametrize("alias", ["latest", "v3", "V12", "", "a b", "a/b", "<b>"])
def test_aliases_that_the_registry_reserves_or_refuses(alias: str) -> None:
    with pytest.raises(InputError):
        check_alias(alias)


def test_a_version_survives_its_tags() -> None:
    ref = ModelRef(
        "a",
        "3",
        "unlearned",
        "m" * 64,
        "run",
        "a/1",
        "miu",
        True,
        7,
        "d" * 64,
        "hmac-sha256:x",
        "hmac-sha256:y",
        "k" * 32,
        "resnet18",
        {"lr": 0.1, "n": [1, 2]},
    )
    written = names.lineage_tags(ref)
    read = names.ref_from_tags("a", "3", "run", {**written, names.TAG_ROLE: "unlearned", names.TAG_MANIFEST: "m" * 64})
    assert read == ref


@pytest.mark.parametrize("hurt", [{names.TAG_SEED: "many"}, {names.TAG_CONFIG: "{"}, {names.TAG_CONFIG: "[1]"}])
def test_a_damaged_tag_is_not_guessed(hurt: dict[str, str]) -> None:
    with pytest.raises(IntegrityError, match="damaged"):
        names.ref_from_tags("a", "1", None, hurt)


def test_a_version_tag_is_never_cut() -> None:
    with pytest.raises(InputError, match="100001 characters"):
        names.version_tags({"x": "y" * 100_001})


@given(st.text(max_size=300), st.integers(150, 200))
def test_shortened_text_keeps_the_limit_and_names_its_length(text: str, limit: int) -> None:
    short = names.shortened(text, limit)
    assert len(short) <= limit
    assert short == text if len(text) <= limit else f"[{len(text)} characters, sha256:" in short


def test_numbers_that_are_not_finite_are_named_not_logged() -> None:
    finite, dropped = names.finite_part({"a": 1, "b": float("inf"), "c": float("nan"), "d": None, "e": 0.0})
    assert finite == {"a": 1.0, "e": 0.0}
    assert dropped == ["b", "c", "d"]


@pytest.mark.parametrize("path", ["", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a\\b", "C:/x", "a\nb", "a/\x00", "a/"])
def test_artifact_names_that_lead_outside(path: str) -> None:
    with pytest.raises(IntegrityError):
        artifacts.safe_artifact_path(path)


def test_passwords_are_not_shown() -> None:
    assert shown_uri("cannot open postgresql://ci:secret@db:5432/x") == "cannot open postgresql://***@db:5432/x"
    assert shown_uri("http://host:5000/a") == "http://host:5000/a"


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "mlruns", "databricks", "ftp://x"])
def test_stores_without_a_registry_are_refused(uri: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        locate(uri)


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    embedded = locate(root=tmp_path)
    assert embedded.tracking_uri == embedded.registry_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert embedded.artifacts == tmp_path / "artifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry:5000")
    served = locate(root=tmp_path)
    assert (served.tracking_uri, served.registry_uri, served.artifacts) == ("http://tracking:5000", "http://registry:5000", None)
    assert locate("http://mine:1").tracking_uri == "http://mine:1"


def test_importing_the_room_loads_no_heavy_library() -> None:
    code = "import sys, grmu_audit.tracking; print(sorted({'mlflow', 'torch', 'sqlalchemy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def entries_of(*wishes: tuple[str, int, str | None, int | None]) -> tuple[ledger.LedgerEntry, ...]:
    made: tuple[ledger.LedgerEntry, ...] = ()
    for number, (kind, previous, version, turn) in enumerate(wishes, 1):
        entry = ledger.Entry(kind, "a", previous, ledger.running_hash("a", made[:previous]), version=version, turn=turn)
        made = (*made, ledger.LedgerEntry(number, entry.to_tags()[ledger.TAG_ENTRY_SHA256], entry))
    return made


def stored(*entries: ledger.LedgerEntry) -> list[LogEntry]:
    return [LogEntry(numbered.number, numbered.entry.to_tags()) for numbered in entries]


def test_of_two_promotions_that_saw_the_same_state_the_first_takes_effect() -> None:
    entries = entries_of(("promote", 0, "1", None), ("promote", 0, "2", None), ("done", 2, "1", 1), ("promote", 0, "3", None))
    state = ledger.ledger_state(entries)
    assert state.champion == "1"
    assert state.open is None
    assert state.owners == {entries[0].sha256}


def test_other_entries_in_between_do_not_stop_a_promotion() -> None:
    entries = entries_of(("audit", 0, "1", None), ("refusal", 1, "2", None), ("promote", 1, "1", None))
    state = ledger.ledger_state(entries)
    assert state.open is not None
    assert state.open.number == 3
    assert state.champion is None


def test_an_abandoned_promotion_changes_nothing_and_a_stray_done_neither() -> None:
    entries = entries_of(
        ("promote", 0, "1", None), ("done", 1, "1", 1), ("promote", 2, "2", None), ("abandoned", 3, "2", 3), ("done", 4, "2", 3)
    )
    state = ledger.ledger_state(entries)
    assert (state.champion, state.open, state.ended) == ("1", None, {1})


def test_an_untouched_ledger_has_no_defect() -> None:
    entries = entries_of(("promote", 0, "1", None), ("promote", 0, "2", None), ("done", 2, "1", 1))
    assert inspect_ledger("a", stored(*entries)) == (entries, [])


@pytest.mark.parametrize("victim", [0, 1])
def test_every_entry_that_has_a_successor_is_covered_by_the_chain(victim: int) -> None:
    entries = entries_of(("promote", 0, "1", None), ("promote", 0, "2", None), ("done", 2, "1", 1))
    log = stored(*entries)
    other = ledger.Entry("promote", "a", 0, ledger.running_hash("a", ()), version="9")
    log[victim] = LogEntry(victim + 1, other.to_tags())
    _, defects = inspect_ledger("a", log)
    assert defects == ["entry 3 does not fit entries 1 to 2: one of them was changed after it was written"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({ledger.TAG_ENTRY: "{}"}, "does not have its digest"),
        ({ledger.TAG_ENTRY: "", ledger.TAG_ENTRY_SHA256: ""}, "does not have its digest"),
    ],
)
def test_an_edited_entry_is_named(change: dict[str, str], said: str) -> None:
    log = stored(*entries_of(("audit", 0, "1", None), ("promote", 1, "1", None)))
    log[1] = LogEntry(2, {**log[1].tags, **change})
    _, defects = inspect_ledger("a", log)
    assert len(defects) == 1
    assert "entry 2" in defects[0]
    assert said in defects[0]


def test_an_entry_of_another_model_and_a_gap_are_named() -> None:
    entries = entries_of(("audit", 0, "1", None), ("audit", 1, "1", None))
    assert "belongs to the model 'a'" in inspect_ledger("b", stored(*entries))[1][0]
    assert inspect_ledger("a", stored(*entries)[1:])[1] == ["entry 1 is missing"]
