"""Evidence: canonical JSON, digests, folder manifests, keyed pseudonyms; everything that a verdict is bound to."""

from grmu_audit.evidence.canonical import canonical_json
from grmu_audit.evidence.digests import folder_manifest, manifest_sha256, sha256_file, sha256_hex
from grmu_audit.evidence.files import write_atomic
from grmu_audit.evidence.keys import KEY_FILE_VARIABLE, key_check, key_path, load_key, pseudonym, pseudonyms, set_digest

__all__ = [
    "KEY_FILE_VARIABLE",
    "canonical_json",
    "folder_manifest",
    "key_check",
    "key_path",
    "load_key",
    "manifest_sha256",
    "pseudonym",
    "pseudonyms",
    "set_digest",
    "sha256_file",
    "sha256_hex",
    "write_atomic",
]
