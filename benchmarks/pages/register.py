"""The example of a register in ``docs/examples/register``: the predictions of ``score --demo`` as versions of one model.

python -m benchmarks.pages.register --write docs/examples/register

No network is trained: a few bytes stand in the place of each version's weights, and the predictions are those that come
with the package.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest import mock

from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.auditing.measurement import measure
from grmu_audit.auditing.scoring import example_files
from grmu_audit.data.readers.photodigits import PHOTOGRAPHS
from grmu_audit.evidence.ledger import Author
from grmu_audit.policy import Policy, load_named
from grmu_audit.policy.judgement import judge
from grmu_audit.records import SPLITS, AuditContext, AuditedModel, AuditInputs, DataRecord, ModelRef
from grmu_audit.records.lineage import ErasureRecord
from grmu_audit.tracking import Store, lineage_tags, record_audit
from grmu_audit.utils import sha256_hex
from grmu_audit.workflows.erasure import due_date, erasure_artifact
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.site import write_site

NAME = "photodigits"
"""Name of the model."""
RECEIVED, MADE = date(2026, 11, 2), datetime(2026, 11, 16, 9, tzinfo=UTC)
"""Day of the request, and the time of everything after it."""
VALID = timedelta(days=90)
"""How long the verdict holds."""
DATA = sha256_hex(b"the predictions of score --demo")
"""In the place of a digest of the data."""
CLASSES = ("digit 0-4", "digit 5-9")
"""Names of the classes."""
OPERATOR = Author("operator", now=MADE)
"""Who wrote every entry."""


def register(out: Path) -> int:
    """Write the register; returns how many versions it lists.

    Args:
        out: folder.
    """
    fixed = {"SOURCE_DATE_EPOCH": str(int(MADE.timestamp())), "GRMU_AUDIT_HMAC_KEY_FILE": ""}
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, fixed):
        session = Session(root=Path(folder) / "mlruns", tracking_uri=f"sqlite:///{folder}/mlruns/mlflow.db", device="cpu")
        session.create_store()
        _audited(session.store, _registered(session.store, Path(folder)), load_named("default"))
        return write_site(session, out, today=MADE.date())


def _registered(store: Store, folder: Path) -> AuditInputs:
    """The models of the files, each a version: first the one before, then the retrained ones, last the unlearned one."""
    files = example_files().read()
    assert files.baseline is not None
    before = _version(store, folder, "pretrain", files.baseline)
    references = tuple(_version(store, folder, "retrain", model, "retrain", before.ref) for model in files.references)
    return AuditInputs(_version(store, folder, "unlearned", files.candidate, "shrink", before.ref), before, references)


def _version(
    store: Store, folder: Path, role: str, model: AuditedModel, method: str = "", parent: ModelRef | None = None
) -> AuditedModel:
    """Register a model of the files; one that was made for the request has the record of it."""
    place = folder / model.ref.name
    place.mkdir()
    (place / "weights.txt").write_text(f"in the place of the weights of {model.ref.name}\n")
    before = parent.label if parent is not None else None
    described = ModelRef(NAME, "", parent=before, method=method or None, reweight=bool(method), data_digest=DATA)
    with store.run(NAME, "unlearn" if method else "pretrain") as run:
        if method:
            run.log_bytes(erasure_artifact([_request(model)]), "erasure.json")
        ref = store.register(run, NAME, place, role=role, tags=lineage_tags(described), author=OPERATOR)
    named = replace(model.predictions, class_names=CLASSES, attribute_names=PHOTOGRAPHS)
    return AuditedModel(ref, named)


def _request(model: AuditedModel) -> ErasureRecord:
    """The one request."""
    rows = model.predictions.mask("forget")
    digest = sha256_hex(b"the forget set of score --demo")
    return ErasureRecord("R-1", int(rows.sum()), digest, None, RECEIVED.isoformat(), due_date(RECEIVED).isoformat(), "17(1)(b)")


def _audited(store: Store, inputs: AuditInputs, policy: Policy) -> None:
    """Audit the unlearned version and record it."""
    table = inputs.candidate.predictions
    splits = {split: int(table.mask(split).sum()) for split in SPLITS}
    data = DataRecord(DATA, splits, "photodigits", class_names=CLASSES, attribute_names=PHOTOGRAPHS)
    record = {"level": "quick", "expires": (MADE + VALID).strftime("%Y-%m-%dT%H:%M:%SZ")}
    audit = judge(measure(inputs, AuditContext(data, record=record), policy.measure_options()), policy, MADE.date())
    with store.run(NAME, "audit") as run:
        record_audit(store, run, audit, evidence_files(audit, policy, inputs), OPERATOR)


def main() -> None:
    """Write the register."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, required=True, metavar="FOLDER")
    register(parser.parse_args().write)


if __name__ == "__main__":
    main()
