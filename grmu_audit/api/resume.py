"""Where an interrupted run is continued from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from grmu_audit.api.session import Session
from grmu_audit.errors import DivergedError
from grmu_audit.evidence import canonical_json, sha256_hex

if TYPE_CHECKING:
    from grmu_audit.api.version import Recipe
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.source import BatchSource
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.checkpoint import Checkpoints
    from grmu_audit.training.runtime import Runtime

Make = Callable[["BatchSource", "Runtime"], "Classifier"]
"""Makes the network of a version."""


def checkpoints(session: Session, dataset: Dataset, recipe: Recipe, runtime: Runtime, resume: bool) -> Checkpoints:
    """Where the run's epochs are kept, keyed by everything that its weights depend on.

    Args:
        session: its folder holds the files.
        dataset: what is trained on.
        recipe: parent, method, settings, seed.
        runtime: device and precision, which the weights depend on too.
        resume: continue from existing files; otherwise they are removed.
    """
    from grmu_audit.training.checkpoint import Checkpoints

    parent, request = recipe.parent, recipe.request
    key = sha256_hex(
        canonical_json(
            {
                "network": recipe.network or None,
                "parent": [parent.label, parent.manifest_sha256] if parent else None,
                "data": dataset.digest,
                "request": request.forget.forget_digest if request else None,
                "method": recipe.method,
                "settings": recipe.settings,
                "reweight": recipe.reweight,
                "seed": recipe.seed,
                "device": runtime.device.type,
                "precision": runtime.precision,
            }
        )
    )
    kept = Checkpoints(session.root / "checkpoints" / key[:32], key, resume)
    if not resume:
        kept.clear()
    elif session.progress and not kept.found():
        sys.stderr.write("--resume: no interrupted run with these options; starting from the first epoch\n")
    return kept


def made(make: Make, source: BatchSource, runtime: Runtime) -> Classifier:
    """The network; checkpoints of a run that diverged are of no use and go.

    Raises:
        DivergedError: as the method raised it.
    """
    try:
        return make(source, runtime)
    except DivergedError:
        if runtime.checkpoints is not None:
            runtime.checkpoints.clear()
        raise
