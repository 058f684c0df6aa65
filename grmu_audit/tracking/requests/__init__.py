"""Requests add up: what each version was created without, and which requests champions have served."""

from grmu_audit.tracking.requests.lineages import (
    LineageRequest,
    Lineages,
    first_few,
    requests_to_reopen,
    require_no_reversal,
    require_served,
)
from grmu_audit.tracking.requests.pending import PendingRequest, pending_artifact, received_requests
from grmu_audit.tracking.requests.purges import (
    CacheFolder,
    PurgeRecord,
    files_left,
    kept_outputs,
    kept_table,
    kept_under_earlier_key,
    plan_sign_offs,
    purge_defects,
    read_purge,
    require_signed_purge,
    unfinished_purge,
)
from grmu_audit.tracking.requests.records import UNNAMED, StoredRequest, read_erasure_records, read_request_record
from grmu_audit.tracking.requests.rekeyed import Rekeyed, rekeyed_artifact, rekeyed_rows, rows_artifact

__all__ = [
    "UNNAMED",
    "CacheFolder",
    "LineageRequest",
    "Lineages",
    "PendingRequest",
    "PurgeRecord",
    "Rekeyed",
    "StoredRequest",
    "files_left",
    "first_few",
    "kept_outputs",
    "kept_table",
    "kept_under_earlier_key",
    "pending_artifact",
    "plan_sign_offs",
    "purge_defects",
    "read_erasure_records",
    "read_purge",
    "read_request_record",
    "received_requests",
    "rekeyed_artifact",
    "rekeyed_rows",
    "requests_to_reopen",
    "require_no_reversal",
    "require_served",
    "require_signed_purge",
    "rows_artifact",
    "unfinished_purge",
]
