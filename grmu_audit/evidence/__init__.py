"""Evidence: canonical JSON, digests, folder manifests, keyed pseudonyms; everything that a verdict is bound to."""

from grmu_audit.evidence.ledger import Ledger
from grmu_audit.evidence.pseudonyms import KEY_FILE_VARIABLE, key_check, key_path, load_key, pseudonym, pseudonyms, set_digest

__all__ = [
    "KEY_FILE_VARIABLE",
    "Ledger",
    "key_check",
    "key_path",
    "load_key",
    "pseudonym",
    "pseudonyms",
    "set_digest",
]
