"""Policies on disk: load, find by name, digest, JSON Schema."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grmu_audit.errors import InputError, IntegrityError, NotFoundError, PolicyError
from grmu_audit.policy.schema import Policy, document_problems
from grmu_audit.records.verdict import label_of_policy
from grmu_audit.utils import canonical_json, load_yaml, sha256_hex
from grmu_audit.utils.files import listed_in
from grmu_audit.utils.resources import policy_file, policy_names

_LATER = {
    "intervals": "default",
    "null_control": "refuse",
    "null_control_reason": "",
    "guarantee": "measured",
    "predictions": "any",
    "outputs": "stored",
    "sign_off": "optional",
    "cannot_show": [],
    "control_attributes": [],
}


def load(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        PolicyError: all errors at once, each with file, line and key.
    """
    return load_yaml(path, Policy, PolicyError, document_problems)


def load_named(name_or_path: str | Path) -> Policy:
    """A policy by path, or by the name of one that comes with the tool; with ``@`` and its digest behind it, that very policy.

    Raises:
        NotFoundError: neither a file nor a known name.
        PolicyError: the file is invalid.
        InputError: the digest does not have 64 hexadecimal digits.
        IntegrityError: the policy has another digest.
    """
    name, pin = _pinned(str(name_or_path))
    policy = _load_unpinned(name)
    if pin and pin != policy_sha256(policy):
        raise IntegrityError(
            f"policy {name} has the SHA-256 {policy_sha256(policy)}, not the required {pin}: it is another policy, or was changed"
        )
    return policy


def _pinned(text: str) -> tuple[str, str]:
    """Name or path, and the digest that it is pinned to; empty where it is not."""
    name, at, pin = text.rpartition("@")
    pin = pin.removeprefix("sha256:").lower()
    if not at or _holds(Path(text).is_file):
        return text, ""
    if not re.fullmatch("[0-9a-f]{64}", pin):
        raise InputError(
            f"--policy {text[:200]!r}: behind the @ stand the 64 hexadecimal digits of the policy's SHA-256; 'grmu-audit policy"
            f" check {name[:100]}' prints them"
        )
    return name, pin


def _load_unpinned(name_or_path: str) -> Policy:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not _holds(path.exists):
            raise NotFoundError(f"no policy file {name_or_path}: give a path, or the name of a policy that comes with the tool")
        return load(path)
    return load(policy_file(name_or_path))


def _holds(test: Callable[[], bool]) -> bool:
    """What a test of a path says; no file has a name that is too long."""
    try:
        return test()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


POLICIES_VARIABLE = "GRMU_AUDIT_POLICIES"
"""Environment variable that lists the policies whose verdicts count where none is named, by name or file, with ``@`` and digest
if wanted, separated like ``PATH``."""


def listed_policies() -> dict[str, Policy]:
    """The policies that the operator listed, by digest; where none are, those that come with the tool and judge forgetting.

    Raises:
        NotFoundError, PolicyError, InputError, IntegrityError: as for ``load_named``.
    """
    names = listed_in(POLICIES_VARIABLE)
    found = [load_named(name) for name in names or policy_names()]
    return {policy_sha256(policy): policy for policy in found if names or policy.claims_forgetting}


def require_listed(name: str, digest: str, *, unclaimed: bool = False) -> None:
    """Return when the operator listed the policy of that digest.

    Args:
        name: its name, for the message.
        digest: its digest.
        unclaimed: whether one that comes with the tool and claims nothing on forgetting counts, too.

    Raises:
        IntegrityError: it is not listed.
    """
    listed = listed_policies()
    packaged = {policy_sha256(load_named(one)) for one in policy_names()} if unclaimed else set()
    if digest not in listed and digest not in packaged:
        known = ", ".join(policy_label(policy) for policy in listed.values())
        raise IntegrityError(
            f"the verdict is by policy {label_of_policy(name, digest)}, which is not among the policies that count ({known}):"
            f" audit it again with one of these, name yours with --policy, or list it in {POLICIES_VARIABLE}"
        )


def policy_tree(policy: Policy) -> dict[str, Any]:
    """A policy as plain JSON types, defaults filled in, as it is digested and stored.

    Keys that came after the first release are left out where they have their default, so that digests do not change.
    """
    tree: dict[str, Any] = policy.model_dump(mode="json", by_alias=True)
    rules = [{key: value for key, value in rule.items() if key != "clauses" or value} for rule in tree["rules"]]
    return {key: value for key, value in {**tree, "rules": rules}.items() if key not in _LATER or value != _LATER[key]}


def policy_sha256(policy: Policy) -> str:
    """SHA-256 of the policy in canonical JSON: layout and comments of the file do not matter."""
    return sha256_hex(canonical_json(policy_tree(policy)))


def policy_label(policy: Policy) -> str:
    """Its name and the first digits of its digest, as a reader sees them."""
    return label_of_policy(policy.name, policy_sha256(policy))


def json_schema() -> dict[str, Any]:
    """JSON Schema of a policy file, for editors; committed as ``policies/policy.schema.json``."""
    schema = Policy.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "grmu-audit policy"}
