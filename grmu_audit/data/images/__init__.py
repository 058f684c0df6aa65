"""Decoded images, kept once on disk for all runs."""

from grmu_audit.data.images.cache import decoded
from grmu_audit.data.images.store import ImageStore

__all__ = [
    "ImageStore",
    "decoded",
]
