"""Policies: what a version must meet, and whether the numbers of an audit show that it does."""

from grmu_audit.policy.files import json_schema, load, load_named, policy_sha256
from grmu_audit.policy.judgement import evaluate
from grmu_audit.policy.schema import Policy

__all__ = [
    "Policy",
    "evaluate",
    "json_schema",
    "load",
    "load_named",
    "policy_sha256",
]
