"""Decoded images, stored once on disk for all runs."""

from grmu_audit.data.images.cache import decode_listing
from grmu_audit.data.images.store import ImageStore

__all__ = [
    "ImageStore",
    "decode_listing",
]
