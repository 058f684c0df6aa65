"""Methods with a guarantee for networks that are built for it: exact by shards, certified by a bound; each registers itself."""

from grmu_audit.unlearning.guaranteed import certified, shards

__all__ = ["certified", "shards"]
