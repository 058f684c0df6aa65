"""Every column of MLflow's tables of models and runs: found when it is edited, or why nothing depends on it."""

from __future__ import annotations

FOUND = "found"
"""What is said of a column that ``verify`` and ``promote`` must find edited."""
JUDGED: dict[str, dict[str, str]] = {
    "registered_models": {
        "workspace": FOUND,
        "name": FOUND,
        "creation_time": "shown by MLflow, read by nothing here",
        "last_updated_time": "shown by MLflow, read by nothing here",
        "description": FOUND,
    },
    "registered_model_tags": dict.fromkeys(
        ("workspace", "name", "key", "value"), "this tool writes none and reads none; no file is found by them"
    ),
    "registered_model_aliases": {"workspace": FOUND, "name": FOUND, "alias": FOUND, "version": FOUND},
    "model_versions": {
        "workspace": FOUND,
        "name": FOUND,
        "version": FOUND,
        "current_stage": FOUND,
        "source": FOUND,
        "storage_location": FOUND,
        "run_id": FOUND,
        "creation_time": "versions are ordered by number",
        "last_updated_time": "versions are ordered by number",
        "description": FOUND,
        "user_id": "this tool names actors in its ledger",
        "run_link": "a link for people",
        "status": "MLflow's client serves a version whatever it says",
        "status_message": "a sentence for people",
    },
    "model_version_tags": {"workspace": FOUND, "name": FOUND, "version": FOUND, "key": FOUND, "value": FOUND},
    "runs": {
        "run_uuid": FOUND,
        "lifecycle_stage": FOUND,
        "artifact_uri": FOUND,
        **dict.fromkeys(
            ("name", "source_type", "source_name", "entry_point_name", "user_id", "status", "start_time", "end_time",
             "deleted_time", "source_version", "experiment_id"),
            "no file is found by it: the address of the artifacts is stored with the run",
        ),
    },
    "logged_models": {
        "model_id": FOUND,
        "lifecycle_stage": FOUND,
        **dict.fromkeys(
            ("experiment_id", "name", "artifact_location", "creation_timestamp_ms", "last_updated_timestamp_ms", "status",
             "model_type", "source_run_id", "status_message"),
            "it holds metrics for people and no files; found by its id",
        ),
    },
    "logged_model_metrics": {
        "model_id": FOUND,
        "metric_name": FOUND,
        "metric_value": FOUND,
        **dict.fromkeys(
            ("metric_timestamp_ms", "metric_step", "experiment_id", "run_id", "dataset_uuid", "dataset_name", "dataset_digest"),
            "each metric is there once, and the audit names its data",
        ),
    },
    "latest_metrics": {
        "run_uuid": FOUND,
        "key": FOUND,
        "value": FOUND,
        **dict.fromkeys(("timestamp", "step", "is_nan"), "each metric of an audit has one value"),
    },
    "experiments": dict.fromkeys(
        ("experiment_id", "name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time", "workspace"),
        "only new runs take anything from it",
    ),
}  # fmt: skip
"""By table and column."""
ADDRESSES = ("source", "storage_location", "run_id", "artifact_uri")
"""Columns by which MLflow finds files."""
TO: dict[str, object] = {
    "workspace": "elsewhere",
    "name": "other",
    "version": 99,
    "alias": "champion2",
    "key": "grmu.other",
    "model_id": "m-other",
    "metric_name": "other",
    "metric_value": 0.123,
    "current_stage": "Deleted_Internal",
    "lifecycle_stage": "deleted",
    "run_uuid": "f" * 32,
}
"""What a column is set to; an address becomes another row's and that of nothing, any other text is edited by a character."""
SHOWN = ("registered_models.description", "model_versions.description")
"""Columns of pages that people read: ``verify`` finds them edited, and no promotion depends on them."""
SHOWN_TABLES = ("logged_models", "logged_model_metrics", "latest_metrics")
"""Tables of which that holds altogether."""
ONE_OF_FEW: dict[tuple[str, str], object] = {
    ("model_versions", "status"): "FAILED_REGISTRATION",
    ("runs", "status"): "FAILED",
    ("runs", "source_type"): "JOB",
    ("runs", "experiment_id"): 0,
}
"""The same for columns that hold one of a few values."""
