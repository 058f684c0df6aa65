"""Evidence bundles: the same bytes each time, checked offline, and every tampered byte named."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.judged_audits import audited, key_pair, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.auditing.bundle_check import BundleCheck, verify_bundle, verify_bundle_bytes
from grmu_audit.errors import InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence.archive import MANIFEST_FILE, pack, unpack
from grmu_audit.evidence.attestation import verdict_statement
from grmu_audit.evidence.ledger import inspect_chain
from grmu_audit.evidence.signing import load_public_key, seal
from grmu_audit.records import Audit
from grmu_audit.tracking import promote, record_audit, sign_off
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.workflows.audits.stored import export_bundle

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle")


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[Path, Any]:
    private, public = key_pair(folder)
    return private, load_public_key(public)


def made(folder: Path, name: str, seeds: list[int], key: Path | None, bound: float = 0.3) -> bytes:
    store = MemoryStore(folder / f"{name}-store")
    ref = version(store, name, folder / f"{name}-v1")
    audited(store, ref, [predictions(seed, 100 + seed // 100) for seed in seeds], policy(bound), key)
    if bound < 0.9:
        promote(store, ref.label)
    sign_off(store, ref, role="preparer", person="ana", note="read it")
    export_bundle(store, ref.label, folder / f"{name}.zip")
    return (folder / f"{name}.zip").read_bytes()


@pytest.fixture(scope="module")
def signed(folder: Path, pair: tuple[Path, Any]) -> bytes:
    return made(folder, "signed", [100, 101, 102], pair[0])


@pytest.fixture(scope="module")
def unsigned(folder: Path) -> bytes:
    return made(folder, "unsigned", [200, 201], None)


def test_an_untouched_bundle_agrees_and_says_who_signed(signed: bytes, pair: tuple[Path, Any]) -> None:
    checked = verify_bundle_bytes(signed, [pair[1]], sha256_hex(signed))
    assert (checked.findings, checked.signed, checked.subject) == ((), (pair[1].keyid,), "signed/1")
    assert checked.compared > 50
    assert any(note.startswith("signed off as preparer by ana") for note in checked.notes)
    assert any("not checked: give --public-key" in note for note in verify_bundle_bytes(signed).notes)


def test_an_unsigned_bundle_is_shown_as_unsigned_and_never_counts_as_signed(unsigned: bytes, pair: tuple[Path, Any]) -> None:
    assert any(note.startswith("unsigned") for note in verify_bundle_bytes(unsigned).notes)
    assert "not signed by any" in verify_bundle_bytes(unsigned, [pair[1]]).findings[0]


def test_another_key_and_another_digest_are_findings(signed: bytes, folder: Path) -> None:
    other = load_public_key(key_pair(folder, "other")[1])
    assert "not signed by any" in verify_bundle_bytes(signed, [other]).findings[0]
    assert "not the expected" in verify_bundle_bytes(signed, expected="0" * 64).findings[0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm_on_untouched_bundles(folder: Path, pair: tuple[Path, Any], seed: int) -> None:
    seeds = [1000 + 100 * seed + i for i in range(1 + seed % 3)]
    key, bound = (pair[0] if seed % 2 else None), (0.999 if seed % 5 == 0 else 0.3)
    content = made(folder, f"clean-{seed}", seeds, key, bound)
    checked = verify_bundle_bytes(content, [pair[1]] if key else [])
    assert checked.findings == ()
    assert checked.decision is not None
    assert content == pack(unpack(content)[0])


def test_export_gives_the_same_bytes(folder: Path) -> None:
    store = MemoryStore(folder / "same-store")
    ref = version(store, "same", folder / "same-v1")
    audited(store, ref, [predictions(300)], policy())
    digests = {export_bundle(store, ref.label, folder / f"same-{i}.zip") for i in range(2)}
    assert digests == {sha256_hex((folder / "same-0.zip").read_bytes())}


def test_nothing_is_exported_of_a_version_that_was_not_audited(folder: Path) -> None:
    store = MemoryStore(folder / "none-store")
    ref = version(store, "none", folder / "none-v1")
    with pytest.raises(InconclusiveError):
        export_bundle(store, ref.label, folder / "none.zip")
    assert not (folder / "none.zip").exists()


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
def test_one_byte_changed_at_every_field_of_the_audit_is_named(signed: bytes) -> None:
    content = unpack(signed)[0]["audit.json"]
    start, fields = offset_of(signed, "audit.json", content), spans(content)
    assert len(fields) > 1000
    for path, at in fields:
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
    chosen = paths if len(paths) < 400 else random.Random(1).sample(paths, 400)
    for path in chosen:
        forged = pack({**files, name: with_leaf(files[name], path)})
        assert verify_bundle_bytes(forged, [pair[1]]).findings, path


def rewritten(files: Files, change: Callable[[dict[str, Any]], None]) -> Files:
    """What a forger without any key can do: change the audit and make everything that follows from it anew, unsigned."""
    from grmu_audit import report

    tree = json.loads(files["audit.json"])
    change(tree)
    audit = Audit.from_json(tree)
    made = {**files, "audit.json": canonical_json(audit.to_json()), "report.html": report.render(audit, "html").encode()}
    kept = {k: sha256_hex(v) for k, v in made.items() if k not in ("attestation.dsse.json", "ledger.json", "README.md")}
    made["attestation.dsse.json"] = seal(verdict_statement(audit, kept), None)
    rows = json.loads(files["ledger.json"])
    entry = json.loads(rows[0]["tags"]["grmu.ledger.entry"])
    assert entry["kind"] == "audit"
    entry |= {"audit_sha256": kept["audit.json"], "attestation_sha256": sha256_hex(made["attestation.dsse.json"])}
    text = canonical_json(entry)
    rows = [
        {"number": 1, "tags": {**rows[0]["tags"], "grmu.ledger.entry": text.decode(), "grmu.ledger.sha256": sha256_hex(text)}}
    ]
    assert inspect_chain(audit.subject.name, [(row["number"], row["tags"]) for row in rows])[1] == []
    return {**made, "ledger.json": canonical_json(rows)}


def set_metric(tree: dict[str, Any]) -> None:
    found = next(m for m in tree["metrics"] if m["name"] == "TA" and m["subject"] == "candidate")
    found["value"] = 0.999


def set_rule(tree: dict[str, Any]) -> None:
    tree["verdict"]["rules"][1]["decision"] = "PASS"


def drop_metric(tree: dict[str, Any]) -> None:
    tree["metrics"] = tree["metrics"][1:]


@pytest.mark.parametrize(
    ("change", "said"),
    [(set_metric, "TA candidate: recorded 0.999"), (set_rule, "rule gap is recorded as PASS"), (drop_metric, "is not recorded")],
)
def test_even_a_wholly_rewritten_unsigned_bundle_cannot_hide_another_number(
    unsigned: bytes, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    forged = verify_bundle_bytes(pack(rewritten(unpack(unsigned)[0], change)))
    assert any(said in finding for finding in forged.findings), forged.findings


def test_other_predictions_are_named_even_when_everything_else_is_made_anew(unsigned: bytes, folder: Path) -> None:
    from grmu_audit.auditing.stored_predictions import to_parquet

    files = unpack(unsigned)[0]
    better = to_parquet(predictions(200, 102, skill=9.0))
    forged = pack(rewritten({**files, "predictions/candidate.parquet": better}, lambda tree: None))
    findings = verify_bundle_bytes(forged).findings
    assert "predictions of candidate are not those that were audited" in findings
    assert any(finding.startswith("TA candidate") for finding in findings)


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


def test_a_file_cannot_take_the_place_of_the_manifest_or_lead_outside() -> None:
    for name in (MANIFEST_FILE, "../x", "/x", ""):
        with pytest.raises(InputError):
            pack({name: b""})


def test_an_audit_that_was_changed_in_the_store_is_not_exported(folder: Path) -> None:
    store = MemoryStore(folder / "hurt-store")
    ref = version(store, "hurt", folder / "hurt-v1")
    audited(store, ref, [predictions(500)], policy())
    page = next((folder / "hurt-store").rglob("report.html"))
    page.write_bytes(page.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=r"report.html .* was changed"):
        export_bundle(store, ref.label, folder / "hurt.zip")
    assert not (folder / "hurt.zip").exists()


def test_recording_an_audit_without_a_verdict_makes_no_attestation(folder: Path) -> None:
    from dataclasses import replace

    store = MemoryStore(folder / "plain-store")
    ref = version(store, "plain", folder / "plain-v1")
    audit = audited(store, ref, [predictions(600)], policy())
    with store.run("plain", "audit") as run:
        record_audit(store, ref, run, replace(audit, verdict=None))
        assert store.run_artifact(run.id, "attestation.dsse.json") is None
