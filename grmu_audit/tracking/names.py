"""Every name that this tool writes into a tracking store: tags, aliases, artifact names."""

from __future__ import annotations

from grmu_audit.evidence.attestation import ATTESTATION_FILE as ATTESTATION_FILE
from grmu_audit.evidence.attestation import AUDIT_FILE as AUDIT_FILE
from grmu_audit.evidence.attestation import POLICY_FILE as POLICY_FILE
from grmu_audit.evidence.chain import TAG_ENTRY as TAG_ENTRY
from grmu_audit.evidence.chain import TAG_ENTRY_KIND as TAG_ENTRY_KIND
from grmu_audit.evidence.chain import TAG_ENTRY_SHA256 as TAG_ENTRY_SHA256

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
"""What a version can be."""

TAG_KIND = "grmu.kind"
"""Run: ``request``, ``pretrain``, ``retrain``, ``unlearn``, ``audit``..."""

TAG_ROLE = "grmu.role"
"""Version: one of ``ROLES``."""

TAG_METHOD = "grmu.method"
"""Version: training or unlearning method."""

TAG_REWEIGHT = "grmu.reweight"
"""Version: ``true`` when the retain sampler was REWEIGHT, else ``false``."""

TAG_PARENT = "grmu.parent"
"""Version: ``name/version`` of the version it was made from."""

TAG_SEED = "grmu.seed"
"""Version: seed of the run that made it."""

TAG_DATA = "grmu.data_sha256"
"""Version: digest of the dataset manifest."""

TAG_FORGET = "grmu.forget_digest"
"""Version: keyed HMAC of the forget set, the union of all requests of its lineage."""

TAG_REQUEST = "grmu.request_digest"
"""Version: keyed HMAC of the ids of its own request."""

TAG_KEY_CHECK = "grmu.key_check"
"""Version: check value of the key that its pseudonyms were made with."""

TAG_ARCHITECTURE = "grmu.architecture"
"""Version: architecture name."""

TAG_CONFIG = "grmu.config"
"""Version: hyper-parameters and facts of the run, canonical JSON."""

TAG_MANIFEST = "grmu.manifest_sha256"
"""Version: SHA-256 over the folder manifest of its files."""

TAG_AUDIT_RUN = "grmu.audit_run"
"""Version: run that holds its newest ``audit.json``."""

TAG_AUDIT_SHA256 = "grmu.audit_sha256"
"""Version: SHA-256 of the bytes of that ``audit.json``."""

TAG_VERDICT = "grmu.verdict"
"""Version: PASS, BREACH or INCONCLUSIVE; an index for people, never what ``promote`` decides by."""

TAG_POLICY_SHA256 = "grmu.policy_sha256"
"""Version: digest of the policy that gave the verdict."""

TAG_NONFINITE = "grmu.nonfinite"
"""Run: names of the metrics whose values were not finite and were therefore not logged."""
