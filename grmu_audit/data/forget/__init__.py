"""Forget lists: read, check, sample, write, and what they do to the group mix."""

from grmu_audit.data.forget.check import Forgotten, check_forget_list, earlier_ids
from grmu_audit.data.forget.forget_list import ForgetList, read_forget_list
from grmu_audit.data.forget.groups import group_table, request_groups, split_rows, with_deleted
from grmu_audit.data.forget.presets import PRESETS, parse_class, parse_group, preset_groups
from grmu_audit.data.forget.sampling import (
    ForgetSampling,
    describe_sampling,
    read_sidecar,
    sample_count,
    sample_forget,
    sidecar_path,
    write_forget_list,
)
from grmu_audit.data.forget.subjects import rows_of_subjects, with_whole_subjects

__all__ = [
    "PRESETS",
    "ForgetList",
    "ForgetSampling",
    "Forgotten",
    "check_forget_list",
    "describe_sampling",
    "earlier_ids",
    "group_table",
    "parse_class",
    "parse_group",
    "preset_groups",
    "read_forget_list",
    "read_sidecar",
    "request_groups",
    "rows_of_subjects",
    "sample_count",
    "sample_forget",
    "sidecar_path",
    "split_rows",
    "with_deleted",
    "with_whole_subjects",
    "write_forget_list",
]
