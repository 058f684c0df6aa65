"""Policies on disk: load, find by name, digest, JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grmu_audit.errors import NotFoundError, PolicyError
from grmu_audit.policy.schema import Policy, document_problems
from grmu_audit.utils import canonical_json, load_yaml, sha256_hex

_LATER = {
    "intervals": "default",
    "null_control": "refuse",
    "null_control_reason": "",
    "guarantee": "measured",
    "predictions": "any",
    "outputs": "stored",
}


def load(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        PolicyError: all errors at once, each with file, line and key.
    """
    return load_yaml(Path(path), Policy, PolicyError, document_problems)


def load_named(name_or_path: str | Path) -> Policy:
    """A policy by path, or by the name of one that comes with the tool.

    Raises:
        NotFoundError: neither a file nor a known name.
        PolicyError: the file is invalid.
    """
    from grmu_audit.utils.resources import policy_file

    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not path.is_file():
            raise NotFoundError(f"no policy file {name_or_path}: give a path, or the name of a policy that comes with the tool")
        return load(path)
    return load(policy_file(str(name_or_path)))


def policy_tree(policy: Policy) -> dict[str, Any]:
    """A policy as plain JSON types, defaults filled in, as it is digested and stored.

    Keys that came after the first release are left out where they have their default, so that digests do not change.
    """
    tree: dict[str, Any] = policy.model_dump(mode="json", by_alias=True)
    return {key: value for key, value in tree.items() if key not in _LATER or value != _LATER[key]}


def policy_sha256(policy: Policy) -> str:
    """SHA-256 of the policy in canonical JSON: layout and comments of the file do not matter."""
    return sha256_hex(canonical_json(policy_tree(policy)))


def json_schema() -> dict[str, Any]:
    """JSON Schema of a policy file, for editors; committed as ``policies/policy.schema.json``."""
    schema = Policy.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "grmu-audit policy"}
