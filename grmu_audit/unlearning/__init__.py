"""Unlearning methods behind one small protocol."""

from typing import TYPE_CHECKING

from grmu_audit.utils.plugins import lazy_names

if TYPE_CHECKING:
    from grmu_audit.unlearning.apply import apply_method as apply_method
    from grmu_audit.unlearning.data import UnlearningData as UnlearningData
    from grmu_audit.unlearning.method import LogRange as LogRange
    from grmu_audit.unlearning.method import Method as Method
    from grmu_audit.unlearning.method import MethodConfig as MethodConfig

__getattr__ = lazy_names(
    __name__,
    {
        "apply": ("apply_method",),
        "data": ("UnlearningData",),
        "method": ("LogRange", "Method", "MethodConfig"),
    },
)
