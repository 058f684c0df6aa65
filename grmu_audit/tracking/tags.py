"""A version as tags and back, and texts and numbers made fit for a tracking store."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence import canonical_json, sha256_hex
from grmu_audit.records import ModelRef
from grmu_audit.tracking import names

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


def plain_markdown(text: str) -> str:
    r"""A sentence that Markdown and HTML leave alone: what either could obey is escaped, control characters become spaces.

    >>> plain_markdown("<b> [x](y)")
    '\\<b\\> \\[x\\]\\(y\\)'
    """
    line = "".join(char if char.isprintable() else " " for char in text)
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&:])", r"\\\1", line)


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


def lineage_tags(
    *,
    method: str | None = None,
    reweight: bool = False,
    parent: str | None = None,
    seed: int | None = None,
    data_digest: str | None = None,
    forget_digest: str | None = None,
    request_digest: str | None = None,
    key_check: str | None = None,
    architecture: str | None = None,
    config: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """The tags from which ``ModelRef`` is rebuilt; what is None gets no tag.

    Args:
        method: training or unlearning method.
        reweight: whether the retain sampler was REWEIGHT.
        parent: ``name/version`` of the version it was made from.
        seed: seed of the run.
        data_digest: digest of the dataset manifest.
        forget_digest: keyed HMAC of the forget set.
        request_digest: keyed HMAC of the ids of its own request.
        key_check: check value of the key of its pseudonyms.
        architecture: architecture name.
        config: hyper-parameters and facts of the run; plain JSON types.

    Raises:
        InputError: the configuration is not plain JSON, or longer than a version tag may be.

    >>> lineage_tags(method="miu", reweight=True, seed=0)["grmu.method"]
    'miu'
    """
    known: dict[str, object] = {
        names.TAG_METHOD: method,
        names.TAG_REWEIGHT: reweight,
        names.TAG_PARENT: parent,
        names.TAG_SEED: seed,
        names.TAG_DATA: data_digest,
        names.TAG_FORGET: forget_digest,
        names.TAG_REQUEST: request_digest,
        names.TAG_KEY_CHECK: key_check,
        names.TAG_ARCHITECTURE: architecture,
        names.TAG_CONFIG: dict(config or {}),
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
        role=tags.get(names.TAG_ROLE, "unknown"),
        manifest_sha256=tags.get(names.TAG_MANIFEST),
        run_id=run_id or None,
        parent=tags.get(names.TAG_PARENT),
        method=tags.get(names.TAG_METHOD),
        reweight=tags.get(names.TAG_REWEIGHT) == "true",
        seed=_seed(name, version, tags),
        data_digest=tags.get(names.TAG_DATA),
        forget_digest=tags.get(names.TAG_FORGET),
        request_digest=tags.get(names.TAG_REQUEST),
        key_check=tags.get(names.TAG_KEY_CHECK),
        architecture=tags.get(names.TAG_ARCHITECTURE),
        config=_config(name, version, tags),
    )


def _seed(name: str, version: str, tags: Mapping[str, str]) -> int | None:
    text = tags.get(names.TAG_SEED)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise _damaged(name, version, names.TAG_SEED, text) from None


def _config(name: str, version: str, tags: Mapping[str, str]) -> dict[str, Any]:
    text = tags.get(names.TAG_CONFIG)
    if text is None:
        return {}
    try:
        tree = json.loads(text)
    except ValueError:
        raise _damaged(name, version, names.TAG_CONFIG, text) from None
    if not isinstance(tree, dict):
        raise _damaged(name, version, names.TAG_CONFIG, text)
    return tree


def _damaged(name: str, version: str, key: str, text: str) -> IntegrityError:
    return IntegrityError(f"tag {key!r} of {name}/{version} is damaged ({text[:60]!r}): it was edited after registration")
