"""What a job is, and which functions a worker may run."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import InputError
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.utils.plugins import Registry

if TYPE_CHECKING:
    from grmu_audit.jobs.folder import JobFolder

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
            InputError: it is no job.
        """
        try:
            tree = json.loads(text)
            return cls(str(tree["function"]), dict(tree["arguments"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"this is no job ({type(error).__name__}: {error})") from None


JobFunction = Callable[[Job, "JobFolder"], bytes]
"""Does a job and returns its result; reads only the job, the folder's inputs, the data and the operator's key."""


def _later(place: str) -> JobFunction:
    """A function of this package that is imported by the worker that runs it: it lies in a layer above."""
    module, _, name = place.partition(":")

    def run(job: Job, folder: JobFolder) -> bytes:
        """Import and call it."""
        function: JobFunction = getattr(importlib.import_module(module), name)
        return function(job, folder)

    return run


job_functions: Registry[JobFunction] = Registry("job function", "grmu_audit.jobs")
"""The functions that a worker may run, by name."""
for _name, _place in {
    "method": "grmu_audit.workflows.versions.studies:run_method_job",
    "shadow-model": "grmu_audit.workflows.audits.shadow:run_shadow_job",
    "tuning-trial": "grmu_audit.workflows.versions.tuning:run_trial_job",
    "unlearned-shadow": "grmu_audit.workflows.audits.shadow:run_unlearned_job",
}.items():
    job_functions.add(_name, _later(_place))
