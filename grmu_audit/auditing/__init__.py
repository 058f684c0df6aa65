"""Audits from files alone: measure, score, recompute, check a bundle; neither torch nor MLflow is needed."""
