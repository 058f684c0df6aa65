"""Files that let a third party check a verdict."""

from __future__ import annotations

from grmu_audit.auditing.audit_files import as_read_back
from grmu_audit.auditing.rows_read import record_file
from grmu_audit.auditing.stored_predictions import to_parquet
from grmu_audit.evidence.attestation import DESCRIPTION_FILE, POLICY_FILE, QUALITY_FILE, REPORT_FILE, table_name
from grmu_audit.metrics.checked_predictions import align, of_ids
from grmu_audit.policy import Policy
from grmu_audit.policy.files import policy_tree
from grmu_audit.records import Audit, AuditInputs
from grmu_audit.utils import canonical_json

README_FILE = "README.md"
"""Name of the page in the bundle."""
_TEXT = """# Evidence for one verdict

Subject: {subject}
Verdict: {decision} by policy `{policy}` (digest {policy_sha256})
Made: {created} by {tool}

## What is here

| file | what it is |
|---|---|
| `audit.json` | everything that was measured, and the verdict; canonical JSON |
| `report.html` | the same for people; open it in a browser, it needs no network |
| `description.md` | what the registry's page of the version says |
| `page.json` | tags and metrics that the registry's pages show beside it |
| `policy.json` | the policy as judged; its SHA-256 is the policy digest |
| `predictions/*.parquet` | outputs of each compared model, one row per sample; ids are keyed pseudonyms |
| `rows_read.json` | of a retrained version: which training rows it did not read, as keyed pseudonyms |
| `rows_read-reference-*.json` | the same of each reference |
| `data_quality.json` | results of the data checks, where there were any |
| `attestation.dsse.json` | in-toto statement (test-result v0.1) over all of these, in a DSSE envelope |
| `ledger.json` | the model's promotion ledger up to its last entry about this version, a hash chain |
| `renumbered.json` | of an audit by an earlier version: tables whose people were numbered anew when this bundle was written |
| `ledger.dsse.json` | statement by who exported the bundle: how many entries the ledger has, and its SHA-256 |
| `manifest.json` | size and SHA-256 of every other file |

## How to check it

Offline, on any machine with Python 3.11 or later; neither MLflow nor PyTorch nor a GPU is needed:

    grmu-audit evidence verify BUNDLE --public-key KEY.pub

Get the public key from its owner, not from where you got this bundle. The command checks every digest, the signature and the
ledger's chain, recomputes every number, the verdict and what the policy says of every control (the version before, two cheats
made from it, retrained models) from the predictions, compares the forget set with the record of the rows that were read, and
names every difference. Exit code 0 means that everything agrees (whatever the verdict is), 6 that something was changed or that
the verdict has expired.
Without a key it shows that the bundle is consistent, not who created it.

By hand: `sha256sum` of each file is in `manifest.json`; the payload of the envelope is base64.

## What it does not show

It shows that these predictions give this verdict under this policy. It does not show that the predictions came from the model
that is served (compare its files with the manifest digest {manifest}), nor that the
entries of the ledger after the last one here are absent (ask the registry: `grmu-audit verify`).
"""


_EXTERNAL_TEXT = """# Evidence for one verdict, external form

Subject: {subject}
Verdict: {decision} by policy `{policy}` (digest {policy_sha256})
Made: {created} by {tool}

## What is here

| file | what it is |
|---|---|
| `audit.json` | the verdict, and what was measured as far as it speaks of nobody; canonical JSON |
| `report.html` | the same for people; open it in a browser, it needs no network |
| `policy.json` | the policy as judged; its SHA-256 is the policy digest |
| `attestation.dsse.json` | in-toto statement (test-result v0.1) over these, made when this bundle was written |
| `ledger.json` | the model's promotion ledger up to its last entry about this version, a hash chain |
| `manifest.json` | size and SHA-256 of every other file |

Counts of people are rounded up to multiples of five, 0 is shown; rates are middles of ranges of at least five people. There are
no predictions in it.

## How to check it

    grmu-audit evidence verify BUNDLE --public-key KEY.pub

The command checks every digest, the signature, the ledger's chain, that the ledger's newest audit of this version has the digest
that `audit.json` names as the one it was made from, with the same decision, policy and files, that the decision follows from the
rules, and renders the report again. It computes no number again. Anyone who has the internal bundle compares both:

    grmu-audit evidence verify BUNDLE --internal INTERNAL-BUNDLE

## What it does not show

That the rounded numbers are those of the internal audit (only the internal bundle shows that), that the predictions came from the
model that is served (compare its files with the manifest digest {manifest}), nor that later entries of the ledger are absent.
"""


_COUNTS_TEXT = """# Evidence for one verdict, with counts in place of predictions

Subject: {subject}
Verdict: {decision} by policy `{policy}` (digest {policy_sha256})
Made: {created} by {tool}

## What is here

| file | what it is |
|---|---|
| `audit.json` | everything that was measured, and the verdict; canonical JSON |
| `report.html` | the same for people; open it in a browser, it needs no network |
| `description.md`, `page.json` | what the registry's page of the version says |
| `policy.json` | the policy as judged; its SHA-256 is the policy digest |
| `counts.json` | how often each answer was given; schema `grmu-audit/counts/v1`, below |
| `counts.dsse.json` | statement by who exported the bundle: the SHA-256 of these counts and of the audit |
| `data_quality.json` | results of the data checks, where there were any |
| `attestation.dsse.json` | in-toto statement (test-result v0.1) over all of these and over the files that are left out |
| `ledger.json` | the model's promotion ledger up to its last entry about this version, a hash chain |
| `ledger.dsse.json` | statement by who exported the bundle: how many entries the ledger has, and its SHA-256 |
| `manifest.json` | size and SHA-256 of every other file |

The tables of predictions and the records of the rows that were read are not here: nothing in this archive has one entry a
sample, or a name of one. `counts.json` names the attested SHA-256 of each (`left_out`). A row of its `tables` is class, attribute
value, the candidate's answer, the other model's answer (not for the candidate itself), and how many samples that is. An answer is
a class on test rows, else 1 for right and 0 for wrong; validation rows, and forget rows of groups that have fewer than five, are
without group.

## How to check it

    grmu-audit evidence verify BUNDLE --public-key KEY.pub

The command checks every digest, the signatures and the ledger's chain, computes every metric again that follows from these
counts, and every rule, and names what it could not compute again: attacks, losses and margins, controls, and whatever else needs
rows. Those numbers, and rules on them, are the recorded ones. Anyone who has the internal bundle sees whether the counts are its
own:

    grmu-audit evidence verify BUNDLE --internal INTERNAL-BUNDLE

## What it does not show

What the internal bundle does not show either, and everything that the command lists as not recomputed. Counts of small groups
speak of few people, and a count of 1 of one: this is not the external form, and it is not anonymous.
The manifest digest of the model's files is {manifest}.
"""


def bundle_readme(audit: Audit, *, counts: bool = False) -> bytes:
    """The page for one audit; ``counts``: of a bundle with counts in place of tables."""
    verdict = audit.verdict
    facts = {
        "subject": audit.subject.label,
        "decision": verdict.decision.value if verdict else "none",
        "policy": verdict.policy if verdict else "none",
        "policy_sha256": verdict.policy_sha256 if verdict else "none",
        "created": audit.record.get("created", "unknown"),
        "tool": audit.record.get("tool", "unknown"),
        "manifest": audit.subject.manifest_sha256 or "none",
    }
    text = _EXTERNAL_TEXT if audit.external else _COUNTS_TEXT if counts else _TEXT
    return text.format(**{key: _plain(value) for key, value in facts.items()}).encode()


def _plain(value: object) -> str:
    """Names come from a registry: no markup, no control characters."""
    return "".join(char if char.isalnum() or char in " ._-/:+" else "?" for char in str(value))[:200]


LEDGER_FILE = "ledger.json"
"""Entries 1 to n of the ledger as the registry has them, up to the last one about the version."""
RENUMBERED_FILE = "renumbered.json"
"""Tables whose people were numbered anew at export: the attested SHA-256 of each file, and that of the file in the bundle."""
RENUMBERED_SCHEMA = "grmu-audit/renumbered/v1"


def evidence_files(audited: Audit, policy: Policy, inputs: AuditInputs) -> dict[str, bytes]:
    """Everything that lets a third party check a verdict, by artifact name, without the audit itself.

    Args:
        audited: a judged audit.
        policy: the policy that judged it.
        inputs: its models; the ids of their predictions must be pseudonyms.
    """
    from grmu_audit import report

    shown = as_read_back(audited)
    files = {
        REPORT_FILE: report.render(shown, "html").encode(),
        DESCRIPTION_FILE: report.render_description(shown).encode(),
        POLICY_FILE: canonical_json(policy_tree(policy)),
    }
    first = inputs.candidate.predictions
    for subject, model in inputs.models.items():
        rows = of_ids(first, model.predictions.ids) if model.purged else first
        files[table_name(subject)] = to_parquet(align(rows, model.predictions))
    if audited.data_quality is not None:
        files[QUALITY_FILE] = canonical_json(audited.to_json()["data_quality"])
    records = {record_file(subject): model.rows_read for subject, model in inputs.models.items()}
    return files | {name: record for name, record in records.items() if record is not None}
