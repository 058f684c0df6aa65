"""Decoded images, kept once on disk for all runs."""

from grmu_audit.data.cache.build import cache_folder, decoded
from grmu_audit.data.cache.store import ImageStore

__all__ = ["ImageStore", "cache_folder", "decoded"]
