"""Independent jobs: records of plain JSON, results in a shared folder, executors, and the one writer that takes the results."""

from __future__ import annotations

from grmu_audit.jobs.executors import EXECUTORS, IN_THIS_PROCESS, JobOptions, make_executor
from grmu_audit.jobs.folder import JobFolder
from grmu_audit.jobs.functions import JobFunction, job_functions
from grmu_audit.jobs.job import Job
from grmu_audit.jobs.runner import JobRunner, perform

__all__ = [
    "EXECUTORS",
    "IN_THIS_PROCESS",
    "Job",
    "JobFolder",
    "JobFunction",
    "JobOptions",
    "JobRunner",
    "job_functions",
    "make_executor",
    "perform",
]
