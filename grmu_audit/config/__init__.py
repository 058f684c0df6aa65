"""YAML into frozen pydantic models, with every error at once and the line of each."""

from grmu_audit.config.loader import Problem, ProblemsError, load_yaml

__all__ = ["Problem", "ProblemsError", "load_yaml"]
