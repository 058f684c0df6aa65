"""Every failure that the tool knows, one class and one exit code each.

Exit codes are an API (README, "Exit codes"): 0 done, 1 policy breached, 2 usage or input, 3 inconclusive,
4 environment, 5 data quality, 6 integrity or concurrency.  A breach and an inconclusive verdict are results,
not failures; they become exceptions only where a command had to have a PASS (``promote``).
"""

from __future__ import annotations

import enum
from typing import ClassVar


class ExitCode(enum.IntEnum):
    """Exit codes of the process."""

    DONE = 0
    BREACH = 1
    USAGE = 2
    INCONCLUSIVE = 3
    ENVIRONMENT = 4
    DATA_QUALITY = 5
    INTEGRITY = 6


class GrmuAuditError(Exception):
    """Base of all expected failures: the message says what, which value, and what to do."""

    exit_code: ClassVar[ExitCode] = ExitCode.ENVIRONMENT


class InputError(GrmuAuditError):
    """A file, option or configuration of the caller is invalid."""

    exit_code = ExitCode.USAGE


class PolicyError(InputError):
    """A policy file is invalid (which is not the same as a policy that is breached)."""


class ForgetListError(InputError):
    """A forget list is invalid; the message lists row numbers."""


class NotFoundError(InputError):
    """A model, version, dataset, method or metric of that name does not exist."""


class BreachError(GrmuAuditError):
    """A PASS was needed and the policy is breached."""

    exit_code = ExitCode.BREACH


class InconclusiveError(GrmuAuditError):
    """A PASS was needed and the evidence does not decide, or a required number was not measured."""

    exit_code = ExitCode.INCONCLUSIVE


class EnvironmentFailure(GrmuAuditError):  # noqa: N818  (EnvironmentError is a builtin)
    """Server unreachable, out of memory, disk full, or an internal failure."""


class DivergedError(EnvironmentFailure):
    """Training or unlearning produced a number that is not finite; nothing was registered."""


class CollapsedError(DivergedError):
    """A run cost more accuracy than a version may lose; nothing was registered."""


class DataQualityError(GrmuAuditError):
    """A quality check failed; nothing was trained and nothing registered."""

    exit_code = ExitCode.DATA_QUALITY


class IntegrityError(GrmuAuditError):
    """Something stored is not what was recorded: digest mismatch, tampering, stale or conflicting promotion."""

    exit_code = ExitCode.INTEGRITY


def first_line(error: BaseException) -> str:
    r"""The first line of an exception's message; the name of its type where it has none.

    >>> first_line(ValueError("one\ntwo")), first_line(ValueError())
    ('one', 'ValueError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
