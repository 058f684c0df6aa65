"""What a job is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.utils import canonical_json, sha256_hex

FORMAT = "grmu-audit/job/v1"
"""Part of every id."""


@dataclass(frozen=True)
class Job:
    """One unit of work: which function, with which arguments; the same job has the same id and the same result everywhere.

    >>> one, other = Job("score", {"seed": 1}), Job("score", {"seed": 2})
    >>> one.id == Job("score", {"seed": 1}).id != other.id
    True
    """

    function: str
    """Name in ``job_functions``; code never travels."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON.  Large values (weights, lists of rows) are files of the job folder, named here by their digests."""

    @cached_property
    def id(self) -> str:
        """SHA-256 of function and arguments."""
        return sha256_hex(canonical_json([FORMAT, self.function, dict(self.arguments)]))

    def to_text(self) -> str:
        """As one line of JSON."""
        return canonical_json({"function": self.function, "arguments": dict(self.arguments)}).decode()

    @classmethod
    def from_text(cls, text: str) -> Job:
        """Read what ``to_text`` wrote.

        Raises:
            InputError: the text is not a job.
        """
        try:
            tree = json.loads(text)
            return cls(str(tree["function"]), dict(tree["arguments"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"this is not a job ({type(error).__name__}: {error})") from None
