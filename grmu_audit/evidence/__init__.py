"""Evidence for a verdict: keyed pseudonyms, attestations, signatures, sign-offs, the ledger, archives."""

from grmu_audit.evidence.ledger import Ledger
from grmu_audit.evidence.pseudonyms import (
    KEY_FILE_VARIABLE,
    key_check,
    key_exists,
    key_path,
    load_key,
    model_row_names,
    noise_secret,
    pseudonym,
    pseudonyms,
    set_digest,
)

__all__ = [
    "KEY_FILE_VARIABLE",
    "Ledger",
    "key_check",
    "key_exists",
    "key_path",
    "load_key",
    "model_row_names",
    "noise_secret",
    "pseudonym",
    "pseudonyms",
    "set_digest",
]
