"""Forget lists: read, check, sample, write, and what they do to the group mix."""

from grmu_audit.data.forget.check import check_forget_list, earlier_ids
from grmu_audit.data.forget.forget_list import REQUEST_COLUMNS, ForgetList, read_forget_list
from grmu_audit.data.forget.groups import composition, request_groups, reweight_weights, splits
from grmu_audit.data.forget.presets import PRESETS, class_of_text, group_of_text, preset_groups
from grmu_audit.data.forget.sampling import read_sidecar, sample_count, sample_forget, sidecar_path, write_forget_list

__all__ = [
    "PRESETS",
    "REQUEST_COLUMNS",
    "ForgetList",
    "check_forget_list",
    "class_of_text",
    "composition",
    "earlier_ids",
    "group_of_text",
    "preset_groups",
    "read_forget_list",
    "read_sidecar",
    "request_groups",
    "reweight_weights",
    "sample_count",
    "sample_forget",
    "sidecar_path",
    "splits",
    "write_forget_list",
]
