"""Evidence bundles checked offline: no false positive, and every changed byte and hostile archive is named."""

from __future__ import annotations

import gzip
import html
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.bundles import Files, exported, made, sealed
from support.judged_audits import QUALITY, audit_of, audited, inputs_of, key_pair, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.auditing.bundle_check import BundleCheck, verify_bundle, verify_bundle_bytes
from grmu_audit.auditing.bundle_files import same_content
from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.auditing.measurement import measure
from grmu_audit.auditing.recomputation import recompute
from grmu_audit.auditing.stored_predictions import renumbered
from grmu_audit.cli.tables import bundle_check_text
from grmu_audit.errors import InputError
from grmu_audit.evidence.archive import MANIFEST_FILE, pack, unpack
from grmu_audit.evidence.attestation import ledger_statement
from grmu_audit.evidence.signing import load_public_key, open_envelope, sign_envelope
from grmu_audit.policy import Policy
from grmu_audit.policy.judgement import judge
from grmu_audit.records import EARLIER_SCHEMA, Audit, AuditContext, AuditedModel, DataRecord, Decision, ModelRef
from grmu_audit.report import render
from grmu_audit.tracking import Author, record_audit
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.workflows.audits.stored import export_bundle

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def test_an_untouched_bundle_agrees_and_says_who_signed(signed: bytes, pair: tuple[Path, Any]) -> None:
    checked = verify_bundle_bytes(signed, [pair[1]], sha256_hex(signed))
    assert (checked.findings, checked.signed, checked.subject) == ((), (pair[1].keyid,), "signed/1")
    assert checked.compared > 50
    assert any(note.startswith("signed off as preparer by ana") for note in checked.notes)
    assert any("not checked: give --public-key" in note for note in verify_bundle_bytes(signed).notes)


def test_an_unsigned_bundle_is_shown_as_unsigned_and_never_counts_as_signed(unsigned: bytes, pair: tuple[Path, Any]) -> None:
    assert any(note.startswith("unsigned") for note in verify_bundle_bytes(unsigned).notes)
    assert "not signed by any" in verify_bundle_bytes(unsigned, [pair[1]]).findings[0]


@pytest.mark.parametrize(
    ("dates", "bound", "words"),
    [
        ({"created": "2023-01-01T00:00:00Z", "expires": "2024-01-01T00:00:00Z"}, 0.3, "expired on 2024-01-01"),
        ({"created": "2999-01-01T00:00:00Z"}, 0.3, "in the future"),
        ({"created": "2023-01-01T00:00:00Z"}, 0.9999, "the waiver of rule 'accuracy'"),
    ],
)
def test_a_bundle_that_no_longer_holds_says_so_and_does_not_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dates: dict[str, str], bound: float, words: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1680000000")
    store = MemoryStore(tmp_path / "store")
    ref = version(store, "old", tmp_path / "v")
    waiver = {"rule": "accuracy", "reason": "GOV-1", "approved_by": "board", "expires": "2023-06-01"}
    chosen, tables = policy(bound, waivers=(waiver,)), [predictions(100)]
    with store.run(ref.name, "audit") as run:
        context = audit_of(ref, tables, chosen, **dates)
        judged = judge(context, chosen, date(2023, 2, 1))
        record_audit(store, run, judged, evidence_files(judged, chosen, inputs_of(ref, tables)), Author("auditor"))
    export_bundle(store, ref.label, tmp_path / "b.zip")
    checked = verify_bundle(tmp_path / "b.zip")
    assert len(checked.findings) == 1
    assert words in checked.findings[0]
    assert checked.compared > 10
    assert "does NOT agree" in bundle_check_text(checked)
    assert not any("holds until" in note for note in checked.notes)


def test_a_bundle_of_a_chain_holds_the_root_and_names_a_root_that_was_exchanged(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    ref = version(store, "chain", tmp_path / "v", parent="chain/900")
    rules = [{"id": "whole", "metric": "TA", "compare": "root", "min_change": -0.9}, *policy().model_dump(mode="json")["rules"]]
    chosen, tables = policy(rules=rules), [predictions(seed) for seed in (100, 101, 102)]
    inputs = inputs_of(ref, tables[:2])
    parent = replace(inputs.baseline, ref=replace(inputs.baseline.ref, parent="chain/1"))  # type: ignore[union-attr, type-var]
    inputs = replace(inputs, baseline=parent, root=AuditedModel(ModelRef("chain", "1"), tables[2]))
    data = DataRecord("d" * 64, {}, "imagined")
    with store.run(ref.name, "audit") as run:
        judged = judge(measure(inputs, AuditContext(data, data_quality=QUALITY)), chosen)
        record_audit(store, run, judged, evidence_files(judged, chosen, inputs), Author("auditor"))
    export_bundle(store, ref.label, tmp_path / "b.zip")
    checked = verify_bundle(tmp_path / "b.zip")
    assert checked.findings == ()
    files = unpack((tmp_path / "b.zip").read_bytes())[0]
    assert judged.root is not None
    found = recompute(judged, chosen, {**files, "predictions/root.parquet": files["predictions/baseline.parquet"]}).findings
    assert any(finding.startswith("predictions of root are not those") for finding in found)
    assert any("TA candidate-root" in finding for finding in found)
    assert "there is no predictions/root.parquet" in str(
        recompute(judged, chosen, {name: file for name, file in files.items() if "root" not in name}).findings
    )


def test_another_key_and_another_digest_are_findings(signed: bytes, folder: Path) -> None:
    other = load_public_key(key_pair(folder, "other")[1])
    assert "not signed by any" in verify_bundle_bytes(signed, [other]).findings[0]
    assert "not the expected" in verify_bundle_bytes(signed, expected="0" * 64).findings[0]


def test_a_bundle_of_before_controls_still_verifies_and_renders() -> None:
    content = gzip.decompress((GOLDEN / "bundle-audit-v1.zip.gz").read_bytes())
    checked = verify_bundle_bytes(content)
    assert (checked.findings, checked.decision) == ((), Decision.PASS)
    assert checked.compared > 100
    assert any(note.startswith("not measured: controls") for note in checked.notes)
    tree = json.loads(unpack(content)[0]["audit.json"])
    audit = Audit.from_json(tree)
    assert audit.schema == EARLIER_SCHEMA
    assert audit.to_json() == tree
    for name in ("text", "html", "junit", "sarif", "markdown", "model-card", "github"):
        assert "Not measured: controls" in html.unescape(render(audit, name)), name


def test_a_number_changed_in_a_bundle_of_before_controls_is_named() -> None:
    files = unpack(gzip.decompress((GOLDEN / "bundle-audit-v1.zip.gz").read_bytes()))[0]
    audit = Audit.from_json(json.loads(files["audit.json"]))
    policy_of_it = Policy.stored(json.loads(files["policy.json"]))
    other = replace(audit, metrics=(replace(audit.metrics[0], value=0.123), *audit.metrics[1:]))
    assert recompute(audit, policy_of_it, files).findings == ()
    assert any("recorded 0.123" in finding for finding in recompute(other, policy_of_it, files).findings)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_no_false_alarm_on_untouched_bundles(folder: Path, pair: tuple[Path, Any], seed: int) -> None:
    seeds = [1000 + 100 * seed + i for i in range(1 + seed % 3)]
    key, bound = (pair[0] if seed % 2 else None), (0.999 if seed % 5 == 0 else 0.3)
    content = made(folder, f"clean-{seed}", seeds, key, bound)
    checked = verify_bundle_bytes(content, [pair[1]] if key else [])
    assert checked.findings == ()
    assert checked.decision is not None
    assert content == pack(unpack(content)[0])


def leaves(tree: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values that hold no others."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    empty = True
    for key, item in items:
        empty = False
        yield from leaves(item, (*path, key))
    if empty:
        yield path


def spans(content: bytes) -> list[tuple[str, int]]:
    """Where the first byte of each value of a canonical JSON document stands."""
    found: list[tuple[str, int]] = []
    text = content.decode()

    def walk(at: int, path: str) -> int:
        if text[at] in "{[":
            close, position, index = {"{": "}", "[": "]"}[text[at]], at + 1, 0
            if text[position] == close:
                found.append((path, at))
            while text[position] != close:
                name = str(index)
                if close == "}":
                    name, length = json.JSONDecoder().raw_decode(text[position:])
                    position += length + 1
                position = walk(position, f"{path}.{name}")
                position += text[position] == ","
                index += 1
            return position + 1
        value, length = json.JSONDecoder().raw_decode(text[at:])
        found.append((path, at + (1 if isinstance(value, str) and value else 0)))
        return at + length

    walk(0, "$")
    return found


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def offset_of(archive: bytes, name: str, content: bytes) -> int:
    return archive.index(content, archive.index(name.encode()))


@pytest.mark.slow
def test_one_byte_changed_at_any_field_of_the_audit_is_named(signed: bytes) -> None:
    content = unpack(signed)[0]["audit.json"]
    start, fields = offset_of(signed, "audit.json", content), spans(content)
    assert len(fields) > 1000
    for path, at in random.Random(0).sample(fields, 250):
        findings = verify_bundle_bytes(flipped(signed, start + at)).findings
        assert any("audit.json" in finding for finding in findings), (path, findings)


OTHERS = [
    "report.html", "policy.json", "predictions/candidate.parquet", "predictions/baseline.parquet", "attestation.dsse.json",
    "ledger.json", "README.md", "data_quality.json", MANIFEST_FILE,
]  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_one_byte_changed_in_any_file_is_named(signed: bytes, name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(signed)) as archive:
        content = archive.read(name)
    start, chosen = offset_of(signed, name, content), random.Random(0)
    places = {0, len(content) - 1, *(chosen.randrange(len(content)) for _ in range(40))}
    for at in places:
        assert any(name in finding for finding in verify_bundle_bytes(flipped(signed, start + at)).findings), at


def test_any_byte_between_the_files_is_found(signed: bytes) -> None:
    covered = bytearray(len(signed))
    with zipfile.ZipFile(io.BytesIO(signed)) as archive:
        for info in archive.infolist():
            start = info.header_offset + 30 + len(info.filename)
            covered[start : start + info.file_size] = b"\1" * info.file_size
    outside = [at for at, inside in enumerate(covered) if not inside]
    assert len(outside) > 1000
    missed = [at for at in outside if not verify_bundle_bytes(flipped(signed, at)).findings]
    assert missed == []
    assert verify_bundle_bytes(signed + b"\0").findings
    assert verify_bundle_bytes(signed[:-1]).findings


def other_value(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else "x"


def with_leaf(content: bytes, path: tuple[Any, ...]) -> bytes:
    tree = json.loads(content)
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = other_value(node[path[-1]])
    return canonical_json(tree)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["audit.json", "policy.json", "data_quality.json", "ledger.json"])
def test_a_forger_without_the_key_who_mends_the_manifest_is_found(signed: bytes, pair: tuple[Path, Any], name: str) -> None:
    files = unpack(signed)[0]
    paths = list(leaves(json.loads(files[name])))
    chosen = paths if len(paths) < 60 else random.Random(1).sample(paths, 60)
    for path in chosen:
        forged = pack({**files, name: with_leaf(files[name], path)})
        assert verify_bundle_bytes(forged, [pair[1]]).findings, path


def test_an_older_audit_in_place_of_a_newer_is_named(folder: Path) -> None:
    store = MemoryStore(folder / "twice-store")
    ref = version(store, "twice", folder / "twice-v1")
    audited(store, ref, [predictions(400)], policy())
    export_bundle(store, ref.label, folder / "old.zip")
    audited(store, ref, [predictions(401)], policy())
    export_bundle(store, ref.label, folder / "new.zip")
    old, new = (unpack((folder / f"{name}.zip").read_bytes())[0] for name in ("old", "new"))
    findings = verify_bundle_bytes(pack({**old, "ledger.json": new["ledger.json"]})).findings
    assert "the newest audit of twice/1 in ledger.json is another one than audit.json" in findings


def zipped(members: list[tuple[str, bytes, int]], mode: int = 0o100644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, kind in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = kind
            archive.writestr(info, content)
    return buffer.getvalue()


BOMB = zipped([("manifest.json", b"0" * 10_000_000, zipfile.ZIP_DEFLATED)])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"PK\x03\x04", "cannot be read"),
        (zipped([("../evil", b"x", 0)]), "leads outside"),
        (zipped([("/etc/evil", b"x", 0)]), "leads outside"),
        (zipped([("a\\b", b"x", 0)]), "leads outside"),
        (zipped([("link", b"/etc/passwd", 0)], 0o120777), "is a link"),
        (BOMB, "compressed"),
        (zipped([("a", b"x", 0)]), "not an evidence bundle"),
        (zipped([(f"f{i}", b"", 0) for i in range(1001)]), "more than a bundle can have"),
    ],
)
def test_hostile_archives_are_refused_and_nothing_is_written(
    content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.zip").write_bytes(content)
    checked: BundleCheck = verify_bundle(tmp_path / "b.zip")
    assert said in checked.findings[0]
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]


def test_a_bundle_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        verify_bundle(tmp_path / "nothing.zip")


@pytest.mark.parametrize(
    ("written", "read", "same"),
    [
        ({"a": 1}, {"a": 1, "later": None}, True),
        ({"refs": [{"a": 1}]}, {"refs": [{"a": 1, "later": None}]}, True),
        ({"a": 1}, {"a": 1, "later": 0}, False),
        ({"a": 1, "more": None}, {"a": 1}, False),
        ({"a": 1}, {"a": 2}, False),
        ([1], [1, None], False),
    ],
)
def test_a_key_without_a_value_may_be_absent_as_in_files_of_before_it_existed(written, read, same) -> None:
    assert same_content(written, read) is same


def _with_files(bundle: bytes, **changed: bytes) -> bytes:
    """The bundle with other files, a manifest that fits them, and whatever else names them left as it is."""
    return pack({**unpack(bundle)[0], **{name.replace("__", "."): content for name, content in changed.items()}})


def _cut(bundle: bytes) -> bytes:
    """The ledger without its last entry."""
    return canonical_json(json.loads(unpack(bundle)[0]["ledger.json"])[:-1])


def test_a_ledger_that_was_cut_is_found_by_its_stated_length(signed: bytes, unsigned: bytes) -> None:
    for bundle in (signed, unsigned):
        (finding,) = verify_bundle_bytes(_with_files(bundle, ledger__json=_cut(bundle))).findings
        assert "ledger.json is not the one that was exported" in finding


def test_a_ledger_that_was_cut_with_its_statement_is_found_by_the_signature(signed: bytes, pair: tuple[Path, Any]) -> None:
    ledger = _cut(signed)
    statement = ledger_statement("signed", len(json.loads(ledger)), ("ledger.json", sha256_hex(ledger)))
    made = _with_files(signed, ledger__json=ledger, ledger__dsse__json=sign_envelope(statement, None))
    (finding,) = verify_bundle_bytes(made, [pair[1]]).findings
    assert "ledger.dsse.json is not signed by any" in finding
    files = {name: content for name, content in unpack(signed)[0].items() if name != "ledger.dsse.json"}
    assert "the bundle holds no ledger.dsse.json" in verify_bundle_bytes(pack({**files, "ledger.json": ledger})).findings[0]


def test_a_stored_table_with_a_column_twice_is_refused(unsigned: bytes) -> None:
    files = unpack(unsigned)[0]
    table = pq.read_table(io.BytesIO(files["predictions/candidate.parquet"]))
    buffer = io.BytesIO()
    pq.write_table(table.append_column("id", table.column("id")), buffer)
    audit = Audit.from_json(json.loads(files["audit.json"]))
    chosen = Policy.model_validate(json.loads(files["policy.json"]))
    (finding,) = recompute(audit, chosen, {**files, "predictions/candidate.parquet": buffer.getvalue()}).findings
    assert "column 'id' occurs twice" in finding


@pytest.mark.parametrize(
    "rows", [b"[{}]", b'[{"number":"x","tags":{}}]', b'[{"number":1.5,"tags":{}}]', b'[{"number":1,"tags":[]}]', b"3"]
)
def test_a_ledger_of_another_form_is_a_finding(unsigned: bytes, rows: bytes) -> None:
    (finding,) = verify_bundle_bytes(_with_files(unsigned, ledger__json=rows + b"\n")).findings
    assert "ledger.json cannot be read" in finding


def cut_before_the_audit(files: Files) -> Files:
    return {**files, **exported("unsigned", json.loads(files["ledger.json"])[:1])}


def call_it_a_failure(files: Files) -> Files:
    """The attestation names the same files, and says that the version did not pass."""
    tree = json.loads(open_envelope(files["attestation.dsse.json"]).payload)
    assert tree["predicate"]["result"] != "FAILED"
    tree["predicate"]["result"] = "FAILED"
    return {**files, "attestation.dsse.json": sign_envelope(canonical_json(tree), None)}


def add_a_table(files: Files) -> Files:
    return sealed({**files, "predictions/reference-1.parquet": files["predictions/baseline.parquet"]})


def other_quality(files: Files) -> Files:
    return sealed({**files, "data_quality.json": canonical_json({"checks": []})})


def no_quality(files: Files) -> Files:
    return sealed({name: content for name, content in files.items() if name != "data_quality.json"})


def other_report(files: Files) -> Files:
    return sealed({**files, "report.html": files["report.html"].replace(b"</body>", b"All is well.</body>")})


def spread_audit(files: Files) -> Files:
    return sealed({**files, "audit.json": json.dumps(json.loads(files["audit.json"]), indent=1).encode()})


def one_more_field(files: Files) -> Files:
    return sealed({**files, "audit.json": canonical_json({**json.loads(files["audit.json"]), "mood": "good"})})


@pytest.mark.parametrize(
    ("forge", "finding"),
    [
        (cut_before_the_audit, "ledger.json knows no audit of unsigned/1"),
        (call_it_a_failure, "the attestation does not say what the audit says: result, rules or subject differ"),
        (add_a_table, "the bundle holds 3 tables of predictions, the audit names 2 models"),
        (other_quality, "data_quality.json is not what audit.json holds"),
        (no_quality, "data_quality.json is not what audit.json holds"),
        (other_report, "report.html is not the report of audit.json: rendered again it has other bytes"),
        (spread_audit, "audit.json is not in canonical form: this tool did not write it"),
        (one_more_field, "audit.json holds fields that an audit does not have"),
    ],
)
def test_a_file_that_contradicts_the_others_is_named_although_every_digest_fits(
    unsigned: bytes, forge: Callable[[Files], Files], finding: str
) -> None:
    assert finding in verify_bundle_bytes(pack(forge(unpack(unsigned)[0]))).findings


TABLE = "predictions/candidate.parquet"


@pytest.fixture(scope="module")
def numbered_anew(unsigned: bytes) -> Files:
    """A bundle whose attestation is about a table with other numbers of people."""
    files, buffer = unpack(unsigned)[0], io.BytesIO()
    frame = pd.read_parquet(io.BytesIO(files[TABLE]))
    order = np.random.default_rng(3).permutation(int(frame["subject"].max()) + 1)
    frame.assign(subject=order[frame["subject"]]).to_parquet(buffer, index=False)
    old, new = buffer.getvalue(), renumbered(buffer.getvalue())
    row = {"attested_sha256": sha256_hex(old), "sha256": sha256_hex(new)}
    record = {"schema": "grmu-audit/renumbered/v1", "tables": {TABLE: row}}
    return {**sealed({**files, TABLE: old}), TABLE: new, "renumbered.json": canonical_json(record)}


def test_a_table_whose_people_have_other_numbers_than_those_attested_agrees_and_is_told(numbered_anew: Files) -> None:
    checked = verify_bundle_bytes(pack(numbered_anew))
    assert checked.findings == ()
    note = "1 tables of predictions hold other numbers of people than those attested: compared by content, not by file"
    assert note in checked.notes
    without = {name: content for name, content in numbered_anew.items() if name != "renumbered.json"}
    (finding,) = verify_bundle_bytes(pack(without)).findings
    assert finding == f"the attestation does not cover {TABLE} as they are in the bundle"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "grmu-audit/renumbered/v9"}, "is not about the tables of this bundle"),
        ({"more": 1}, "is not about the tables of this bundle"),
        ({"tables": {"report.html": {"attested_sha256": "0", "sha256": "0"}}}, "is not about the tables of this bundle"),
        ({"tables": {TABLE: {"attested_sha256": "0", "sha256": "0"}}}, "is not about the tables of this bundle"),
        ({"tables": {TABLE: {"sha256": "0"}}}, "cannot be read: KeyError"),
        ({"tables": {TABLE: 3}}, "cannot be read: TypeError"),
        ({"tables": []}, "cannot be read: AttributeError"),
    ],
)
def test_a_record_of_other_numbers_of_people_that_is_about_something_else_is_named(
    numbered_anew: Files, change: dict[str, Any], said: str
) -> None:
    record = canonical_json({**json.loads(numbered_anew["renumbered.json"]), **change})
    assert verify_bundle_bytes(pack({**numbered_anew, "renumbered.json": record})).findings == (f"renumbered.json {said}",)
