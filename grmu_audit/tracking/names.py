"""Names that this tool writes into a tracking store: tags, aliases, artifacts (those of audits: ``evidence.attestation``)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.attestation import PURGE_FILE, ROWS_READ_FILE
from grmu_audit.records import ModelRef
from grmu_audit.utils import canonical_json, sha256_hex

EXPERIMENT_PREFIX = "grmu-audit/"
"""An experiment is one registered model: this, then the model's name."""
MODEL_FOLDER = "model"
"""Artifact folder of the run that holds the files of its version."""
LEDGER_SUFFIX = "--ledger"
"""``<name>--ledger`` is the registered model whose versions are the ledger entries of ``<name>``."""
CHAMPION = "champion"
"""Alias of the version that is served; only a promotion or a rollback moves it."""
CANDIDATE = "candidate"
"""Alias of the version that waits for a verdict."""
REFERENCE = "reference"
"""Alias of the gold standard that candidates are compared with."""
ROLES = ("pretrain", "retrain", "unlearned")
"""Kinds of version."""
TAG_KIND = "grmu.kind"
"""Run: ``request``, ``pretrain``, ``retrain``, ``unlearn``, ``audit``..."""
TAG_SUBJECT = "grmu.subject"
"""Run of an audit or a first evaluation: the version that it is about."""

TAG_ROLE = "grmu.role"
"""Version: one of ``ROLES``."""
TAG_METHOD = "grmu.method"
"""Version: training or unlearning method."""
TAG_REWEIGHT = "grmu.reweight"
"""Version: ``true`` when the retain sampler was REWEIGHT, else ``false``."""
TAG_PARENT = "grmu.parent"
"""Version: ``name/version`` of the version it was derived from."""
TAG_SEED = "grmu.seed"
"""Version: seed of the run that created it."""
TAG_DATA = "grmu.data_sha256"
"""Version: digest of the dataset manifest."""
TAG_FORGET = "grmu.forget_digest"
"""Version: keyed HMAC of the forget set, the union of all requests of its lineage."""
TAG_REQUEST = "grmu.request_digest"
"""Version: keyed HMAC of the ids of its own request."""
TAG_KEY_CHECK = "grmu.key_check"
"""Version: check value of the key that its pseudonyms were created with."""
TAG_ARCHITECTURE = "grmu.architecture"
"""Version: architecture name."""
TAG_CONFIG = "grmu.config"
"""Version: hyper-parameters and facts of the run, canonical JSON."""
TAG_MANIFEST = "grmu.manifest_sha256"
"""Version: SHA-256 over the folder manifest of its files."""
TAG_REGISTRATION = "grmu.registration_sha256"
"""Version: SHA-256 of the envelope around its registration record, which the ledger holds."""
LINEAGE_TAGS = (
    TAG_ROLE, TAG_METHOD, TAG_REWEIGHT, TAG_PARENT, TAG_SEED, TAG_DATA, TAG_FORGET, TAG_REQUEST, TAG_KEY_CHECK, TAG_ARCHITECTURE,
    TAG_CONFIG, TAG_MANIFEST,
)  # fmt: skip
"""Tags that a version has from its registration on, and that its registration record names."""
TAG_AUDIT_RUN = "grmu.audit_run"
"""Version: run that holds its newest ``audit.json``."""
TAG_AUDIT_SHA256 = "grmu.audit_sha256"
"""Version: SHA-256 of the bytes of that ``audit.json``."""
TAG_VERDICT = "grmu.verdict"
"""Version: PASS, BREACH or INCONCLUSIVE; an index for people, never what ``promote`` decides by."""
TAG_POLICY_SHA256 = "grmu.policy_sha256"
"""Version: digest of the policy that gave the verdict."""
TAG_PURGED = "grmu.purged"
"""Version: number of the ledger entry by which its files were deleted; an index for people."""
TAG_NONFINITE = "grmu.nonfinite"
"""Run: names of the metrics whose values were not finite and were therefore not logged."""
TAG_PROCESS = "grmu.process"
"""Run: the process that opened it (``tracking.mlflow.processes``), so that a run whose process ended can be closed."""
TAG_TRIAL = "grmu.trial"
"""Run: number of a tuning trial."""
TAG_FAILURE = "grmu.failure"
"""Run: why a tuning trial gave no result."""
TAG_BENCHMARK = "grmu.benchmark"
"""Run: the suite whose row it is."""
TAG_BENCHMARK_ROW = "grmu.benchmark_row"
"""Run: SHA-256 of everything that the row depends on but the code."""
COSTS = ("seconds", "processor_seconds", "forwards", "peak_memory_mib", "energy_joules")
"""Metrics of a run that say what the work cost."""
MAX_PARAM = 6000
"""Longest parameter value that MLflow stores, in characters."""
MAX_TAG = 8000
"""Longest run tag that MLflow stores, in characters."""
MAX_VERSION_TAG = 100_000
"""Longest version tag that MLflow stores, in characters."""


def as_text(value: object) -> str:
    """A value as tag or parameter text: ``true`` / ``false``, JSON for lists and mappings, else ``str``.

    >>> as_text(True), as_text((1, 2)), as_text(0.5)
    ('true', '[1,2]', '0.5')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list, tuple)):
        return canonical_json(value).decode().rstrip("\n")
    return str(value)


def shortened(text: str, limit: int) -> str:
    """The text, or if it is longer than ``limit`` its head with its length and SHA-256: never cut silently.

    >>> shortened("abc", 6000)
    'abc'
    >>> shortened("a" * 7000, 6000)[-94:-59]
    '... [7000 characters, sha256:e528b0'
    """
    if len(text) <= limit:
        return text
    note = f"... [{len(text)} characters, sha256:{sha256_hex(text.encode('utf-8', 'surrogatepass'))}]"
    return text[: limit - len(note)] + note


def finite_part(metrics: Mapping[str, float | None]) -> tuple[dict[str, float], list[str]]:
    """The numbers that may be logged, and the names of those that may not (missing, NaN or infinite), sorted.

    Names are written as a registry takes them: ``FGSM@0.03`` as ``FGSM/0.03``, any other character that MLflow refuses as ``_``.

    >>> finite_part({"GA": 0.5, "FGSM@0.03": 0.25, "EO": float("nan"), "DP": None})
    ({'GA': 0.5, 'FGSM/0.03': 0.25}, ['DP', 'EO'])
    """
    finite = {name: float(value) for name, value in metrics.items() if value is not None and math.isfinite(value)}
    dropped = sorted(metric_key(name) for name in set(metrics) - set(finite))
    return {metric_key(name): value for name, value in finite.items()}, dropped


def metric_key(name: str) -> str:
    """The name of a metric in the registry.

    >>> metric_key("PGD@0.03137"), metric_key("my metric (%)")
    ('PGD/0.03137', 'my metric ___')
    """
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "/"), flags=re.ASCII)


def lineage_tags(ref: ModelRef) -> dict[str, str]:
    """The tags from which a ``ModelRef`` is rebuilt, of a version that is still to be registered; what is None gets no tag.

    Role, manifest digest and run are tagged by the store itself.

    Raises:
        InputError: the configuration is not plain JSON, or longer than a version tag may be.

    >>> lineage_tags(ModelRef("m", "", method="miu", reweight=True, seed=0))["grmu.method"]
    'miu'
    """
    known: dict[str, object] = {
        TAG_METHOD: ref.method,
        TAG_REWEIGHT: ref.reweight,
        TAG_PARENT: ref.parent,
        TAG_SEED: ref.seed,
        TAG_DATA: ref.data_digest,
        TAG_FORGET: ref.forget_digest,
        TAG_REQUEST: ref.request_digest,
        TAG_KEY_CHECK: ref.key_check,
        TAG_ARCHITECTURE: ref.architecture,
        TAG_CONFIG: dict(ref.config),
    }
    return version_tags({key: value for key, value in known.items() if value is not None})


def version_tags(tags: Mapping[str, object]) -> dict[str, str]:
    """Tags of a version as text.

    Raises:
        InputError: a value longer than the registry stores (a cut digest or configuration would be a false record).
    """
    texts = {key: as_text(value) for key, value in tags.items()}
    for key, text in texts.items():
        if len(text) > MAX_VERSION_TAG:
            raise InputError(f"version tag {key!r} has {len(text)} characters, more than {MAX_VERSION_TAG}: store it as a file")
    return texts


def ref_from_tags(name: str, version: str, run_id: str | None, tags: Mapping[str, str]) -> ModelRef:
    """Rebuild the record of a version.

    Raises:
        IntegrityError: a tag that this tool wrote no longer has its form.
    """
    return ModelRef(
        name=name,
        version=version,
        role=tags.get(TAG_ROLE, "unknown"),
        manifest_sha256=tags.get(TAG_MANIFEST),
        run_id=run_id or None,
        parent=tags.get(TAG_PARENT),
        method=tags.get(TAG_METHOD),
        reweight=tags.get(TAG_REWEIGHT) == "true",
        seed=_seed(name, version, tags),
        data_digest=tags.get(TAG_DATA),
        forget_digest=tags.get(TAG_FORGET),
        request_digest=tags.get(TAG_REQUEST),
        key_check=tags.get(TAG_KEY_CHECK),
        architecture=tags.get(TAG_ARCHITECTURE),
        config=_config(name, version, tags),
    )


def _seed(name: str, version: str, tags: Mapping[str, str]) -> int | None:
    text = tags.get(TAG_SEED)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise _damaged(name, version, TAG_SEED, text) from None


def _config(name: str, version: str, tags: Mapping[str, str]) -> dict[str, Any]:
    text = tags.get(TAG_CONFIG)
    if text is None:
        return {}
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(name, version, TAG_CONFIG, text) from None
    if not isinstance(tree, dict):
        raise _damaged(name, version, TAG_CONFIG, text)
    return tree


def _damaged(name: str, version: str, key: str, text: str) -> IntegrityError:
    return IntegrityError(f"tag {key!r} of {name}/{version} is damaged ({text[:60]!r}): it was edited after registration")


ERASURE = "erasure.json"
"""Artifact of a run that serves a forget list: its erasure records."""
PENDING = "pending_request.json"
"""Artifact: a request that no version was created for yet, by pseudonyms."""
REQUEST = "request.json"
"""Artifact of a run: the request as pseudonyms, counts and how the list was created."""
ROWS_READ = ROWS_READ_FILE
"""Artifact of a retraining run: counts of the rows that it read, and pseudonyms of the training rows that it did not."""
REKEYED = "rekeyed.json"
"""Artifact of a run of ``keys rotate``: the requests of earlier versions under the new key."""
ROWS = "rows.zip"
"""Artifact of a run: one keyed digest for each row of its data."""
TRAINING = "training.json"
"""Artifact of a run: what each epoch logged, for the training curves of a report."""
PREDICTIONS = "predictions.parquet"
"""Artifact of a version's run: its forward pass over all samples."""
QUALITY = "data_quality.json"
"""Artifact of a run: what the quality checks found."""
START = "start.safetensors"
"""Artifact of a pretraining run: the weights that it started from."""
SHARDS = "shard_rows.json"
"""Artifact of the training of an ensemble of shards: which rows each member read."""
PURGE = PURGE_FILE
"""Artifact of a run of ``requests purge``: what it deletes, with digests."""
KEPT_TABLES = "predictions"
"""Folder in that run: of each purged version the outputs of test rows that no request names, ``kept-1.parquet``."""
PRIVATE = frozenset((PENDING, PREDICTIONS, REQUEST, ERASURE, ROWS, ROWS_READ, SHARDS, REKEYED))
"""Artifacts that speak of single samples or people: the embedded store keeps them for their owner alone."""
BASELINE = "baseline.json"
"""Artifact of an evaluation run: every metric of the registered network, and its groups."""
KEPT_OF_PURGED = (REQUEST, ERASURE, ROWS, ROWS_READ, SHARDS, TRAINING, QUALITY, START, BASELINE)
"""Artifacts that the run of a purged version keeps: records, means over all rows, and the weights from before its training."""
RUN_FILES = (PREDICTIONS, REQUEST, ERASURE, ROWS, ROWS_READ, SHARDS, TRAINING, QUALITY, START)
"""Artifacts of a version's run that something is computed from: the registration record names those that are there."""
