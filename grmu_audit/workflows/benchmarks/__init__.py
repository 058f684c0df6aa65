"""Benchmark suites: data x forget groups x ratios x methods x REWEIGHT x seeds, as jobs, with tables and figures."""

from __future__ import annotations

from grmu_audit.workflows.benchmarks.running import BenchmarkOptions, BenchmarkRun, read_rows, run_benchmark
from grmu_audit.workflows.benchmarks.suite import Suite, load_suite, suite_names

__all__ = ["BenchmarkOptions", "BenchmarkRun", "Suite", "load_suite", "read_rows", "run_benchmark", "suite_names"]
