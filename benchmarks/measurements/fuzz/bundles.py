"""Malformed evidence bundles: half of them edited as archives, half with every digest made to fit again."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence

from benchmarks.measurements.fuzz import mutations
from grmu_audit.evidence.archive import MANIFEST_FILE, pack, unpack
from grmu_audit.evidence.attestation import ATTESTATION_FILE, AUDIT_FILE, LEDGER_STATEMENT_FILE
from grmu_audit.evidence.ledger import TAG_ENTRY, TAG_ENTRY_SHA256
from grmu_audit.utils import canonical_json, sha256_hex

_LEDGER, _README = "ledger.json", "README.md"


def of_bundle(content: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """The archive with other bytes, or with one other file and digests that fit it."""
    if dice.random() < 0.3:
        return mutations.of_bytes(content, dice, others)
    files = unpack(content)[0]
    if dice.random() < 0.3:
        name = dice.choice(sorted(files))
        return pack({**files, name: mutations.of_bytes(files[name], dice, [content])})
    name = dice.choice([name for name in sorted(files) if name not in (_README, MANIFEST_FILE, "report.html")] + [AUDIT_FILE] * 4)
    edited = _edited(name, files[name], dice)
    return _bound({**files, name: edited})


def _edited(name: str, content: bytes, dice: random.Random) -> bytes:
    if name.endswith(".parquet"):
        return mutations.of_parquet(content, dice, [content])
    if not name.endswith(".json"):
        return mutations.of_bytes(content, dice, [content])
    edited = mutations.of_json(content, dice, [content])
    try:
        return canonical_json(json.loads(edited))  # so that its form is not what is refused
    except Exception:  # noqa: BLE001  (whatever the edit made of it)
        return edited


def _bound(files: dict[str, bytes]) -> bytes:
    """The archive of these files, with attestation and ledger made to name them."""
    outside = (ATTESTATION_FILE, _LEDGER, LEDGER_STATEMENT_FILE, _README, MANIFEST_FILE)
    try:
        envelope = json.loads(files[ATTESTATION_FILE])
        statement = json.loads(base64.b64decode(envelope["payload"]))
        for subject in statement["subject"]:
            if subject["name"] in files and subject["name"] not in outside:
                subject["digest"]["sha256"] = sha256_hex(files[subject["name"]])
        envelope["payload"] = base64.b64encode(canonical_json(statement)).decode()
        files[ATTESTATION_FILE] = canonical_json({**envelope, "signatures": []})
        rows = json.loads(files[_LEDGER])
        for row in rows:
            entry = json.loads(row["tags"][TAG_ENTRY])
            if entry["kind"] == "audit":
                entry |= {
                    "audit_sha256": sha256_hex(files[AUDIT_FILE]),
                    "attestation_sha256": sha256_hex(files[ATTESTATION_FILE]),
                }
                text = canonical_json(entry)
                row["tags"] |= {TAG_ENTRY: text.decode(), TAG_ENTRY_SHA256: sha256_hex(text)}
        files[_LEDGER] = canonical_json(rows)
        stated = {**json.loads(files[LEDGER_STATEMENT_FILE]), "signatures": []}
        said = json.loads(base64.b64decode(stated["payload"]))
        said["subject"][0]["digest"]["sha256"], said["predicate"]["entries"] = sha256_hex(files[_LEDGER]), len(rows)
        stated["payload"] = base64.b64encode(canonical_json(said)).decode()
        files[LEDGER_STATEMENT_FILE] = canonical_json(stated)
    except Exception:  # noqa: BLE001  (the file that was edited is one of these two)
        return pack(files)
    return pack(files)
