"""How deep an audit goes, and what each level leaves out."""

from __future__ import annotations

from grmu_audit.errors import InputError
from grmu_audit.plugins import nearest
from grmu_audit.records import NotMeasured

LEVELS = ("quick", "standard", "deep")
"""Predictions only; + layers, attacks on inputs, representations; + AutoAttack, learning again, shadow models."""

_FROM = {
    "robustness": ("standard", "accuracy under FGSM and PGD"),
    "layers": ("standard", "fairness-gap of the layers"),
    "representations": ("standard", "CKA, nearest neighbours, probes, prototypes"),
    "AutoAttack": ("deep", "accuracy under AutoAttack"),
    "relearn": ("deep", "epochs until the forget set is learned again"),
    "shadow models": ("deep", "RMIA, LiRA, U-LiRA, RULI, forgetting epsilon, KLOM, SWAP"),
}


def check_level(level: str) -> str:
    """The level, if there is one of that name.

    Raises:
        InputError: there is none.
    """
    if level not in LEVELS:
        raise InputError(f"no level {level!r}{nearest(level, list(LEVELS))}; known: {', '.join(LEVELS)}")
    return level


def left_out(level: str) -> tuple[NotMeasured, ...]:
    """What an audit of that level does not measure.

    >>> [item.name for item in left_out("standard")]
    ['AutoAttack', 'relearn', 'shadow models']
    """
    rank = LEVELS.index(level)
    return tuple(
        NotMeasured(name, f"the audit was made at level {level}; level {least} measures {what}")
        for name, (least, what) in _FROM.items()
        if LEVELS.index(least) > rank
    )
