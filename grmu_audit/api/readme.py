"""The page in an evidence bundle that tells a stranger what it is and how to check it."""

from __future__ import annotations

from grmu_audit.records import Audit

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
| `policy.json` | the policy as judged; its SHA-256 is the policy digest |
| `predictions/*.parquet` | outputs of each compared model, one row per sample; ids are keyed pseudonyms |
| `data_quality.json` | results of the data checks, where there were any |
| `attestation.dsse.json` | in-toto statement (test-result v0.1) over all of these, in a DSSE envelope |
| `ledger.json` | the model's promotion ledger up to its last entry about this version, a hash chain |
| `manifest.json` | size and SHA-256 of every other file |

## How to check it

Offline, on any machine with Python 3.11 or later; neither MLflow nor PyTorch nor a GPU is needed:

    grmu-audit evidence verify BUNDLE --public-key KEY.pub

Get the public key from its owner, not from where you got this bundle. The command checks every digest, the signature and the
ledger's chain, computes every number and the verdict again from the predictions, and names whatever does not agree. Exit code 0
means that everything agrees (whatever the verdict is), 6 that something was changed. Without a key it shows that the bundle
agrees with itself, not who made it.

By hand: `sha256sum` of each file stands in `manifest.json`; the payload of the envelope is base64.

## What it does not show

It shows that these predictions give this verdict under this policy. It does not show that the predictions came from the model
that is served (compare its files with the manifest digest {manifest}), nor that the
entries of the ledger after the last one here are absent (ask the registry: `grmu-audit verify`).
"""


def readme(audit: Audit) -> bytes:
    """The page for one audit."""
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
    return _TEXT.format(**{key: _plain(value) for key, value in facts.items()}).encode()


def _plain(value: object) -> str:
    """Names come from a registry: no markup, no control characters."""
    return "".join(char if char.isalnum() or char in " ._-/:+" else "?" for char in str(value))[:200]
