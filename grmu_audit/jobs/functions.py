"""The functions that a worker may run, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from grmu_audit.jobs.folder import JobFolder
from grmu_audit.jobs.job import Job
from grmu_audit.utils.plugins import Registry

JobFunction = Callable[[Job, JobFolder], bytes]
"""Does a job and returns its result; reads only the job, the folder's inputs, the data and the operator's key."""


def _imported_when_run(place: str) -> JobFunction:
    """A function of ``module:name`` that is imported only when it runs, since its module is in a layer above this one."""
    module, _, name = place.partition(":")

    def run(job: Job, folder: JobFolder) -> bytes:
        function: JobFunction = getattr(importlib.import_module(module), name)
        return function(job, folder)

    return run


job_functions: Registry[JobFunction] = Registry("job function", "grmu_audit.jobs")
"""The functions that a worker may run, by name."""
for _name, _place in {
    "benchmark-model": "grmu_audit.workflows.benchmarks.models:run_model_job",
    "benchmark-row": "grmu_audit.workflows.benchmarks.measuring:run_row_job",
    "method": "grmu_audit.workflows.versions.studies:run_method_job",
    "shadow-model": "grmu_audit.workflows.audits.shadow:run_shadow_job",
    "tuning-trial": "grmu_audit.workflows.versions.tuning:run_trial_job",
    "unlearned-shadow": "grmu_audit.workflows.audits.shadow:run_unlearned_job",
}.items():
    job_functions.add(_name, _imported_when_run(_place))
