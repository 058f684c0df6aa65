"""Ground tools that know nothing of audits: files, digests, tables, YAML, plug-ins, clock, progress."""

from grmu_audit.utils.digests import canonical_json, folder_manifest, manifest_sha256, parse_json, sha256_file, sha256_hex
from grmu_audit.utils.files import cache_folder, read_file, write_atomic
from grmu_audit.utils.yaml_files import Problem, ProblemsError, load_yaml

__all__ = [
    "Problem",
    "ProblemsError",
    "cache_folder",
    "canonical_json",
    "folder_manifest",
    "load_yaml",
    "manifest_sha256",
    "parse_json",
    "read_file",
    "sha256_file",
    "sha256_hex",
    "write_atomic",
]
