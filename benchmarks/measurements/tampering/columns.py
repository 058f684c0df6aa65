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
        "description": "shown by MLflow, read by nothing here",
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
    "current_stage": "Deleted_Internal",
    "lifecycle_stage": "deleted",
    "run_uuid": "f" * 32,
}
"""What a column is set to; an address becomes another row's and that of nothing, any other text is edited by a character."""
ONE_OF_FEW: dict[tuple[str, str], object] = {
    ("model_versions", "status"): "FAILED_REGISTRATION",
    ("runs", "status"): "FAILED",
    ("runs", "source_type"): "JOB",
    ("runs", "experiment_id"): 0,
}
"""The same for columns that hold one of a few values."""
