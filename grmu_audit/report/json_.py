"""The audit itself as JSON: for programs, complete, readable by ``Audit.from_json``."""

from __future__ import annotations

import json

from grmu_audit.evidence import canonical_json
from grmu_audit.records import Audit


def render_json(audit: Audit) -> str:
    """The audit, indented, keys sorted; holds no NaN, and hides nothing that the audit file holds.

    Raises:
        InputError: a number that is not finite, or a text that is not valid Unicode; the message names its path.
    """
    tree = json.loads(canonical_json(audit.to_json()))
    return json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
