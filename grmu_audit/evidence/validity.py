"""Whether the dates of a verdict hold now: by the clock, which ``SOURCE_DATE_EPOCH`` does not change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from grmu_audit.errors import BreachError, IntegrityError
from grmu_audit.records import Audit

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clocks of two machines may be apart."""


def require_valid_dates(audit: Audit, now: datetime | None = None) -> None:
    """Return when an audit was created before now and has not expired.

    Args:
        audit: facts.
        now: the time to judge by; the clock when not given.

    Raises:
        IntegrityError: it is dated in the future, has expired, or holds a date that is none.
    """
    today, label = (now or datetime.now(UTC)).astimezone(UTC), audit.subject.label
    created = audit.record.get("created")
    if created is not None and not (_moment(str(created), label) <= today + CLOCK_SKEW):
        raise IntegrityError(
            f"the audit of {label} is dated {created}, which is in the future: set the clocks right, then audit it again"
        )
    expires = audit.record.get("expires")
    if expires is not None and not (today < _moment(str(expires), label)):
        raise IntegrityError(f"the verdict of {label} expired on {expires}: run 'grmu-audit audit --model {label}'")


def require_valid_waivers(audit: Audit, now: datetime | None = None) -> None:
    """Return when every waiver that covers a breach of the recorded verdict holds still.

    Raises:
        BreachError: one has expired.
        IntegrityError: it holds a date that is none.
    """
    today, label, verdict = (now or datetime.now(UTC)).astimezone(UTC), audit.subject.label, audit.verdict
    if verdict is None:
        return
    waived = {rule.id for rule in verdict.rules if rule.blocking and rule.waived}
    for waiver in verdict.waivers:
        if waiver.get("rule") in waived and not (today.date() <= _moment(str(waiver.get("expires")), label).date()):
            raise BreachError(
                f"the waiver of rule {waiver.get('rule')!r} for {label} expired on {waiver.get('expires')}: the breach counts"
            )


def _moment(text: str, label: str) -> datetime:
    """A time; a date alone means its end."""
    try:
        moment = datetime.fromisoformat(text) if "T" in text else datetime.combine(date.fromisoformat(text), datetime.max.time())
    except ValueError:
        raise IntegrityError(f"the audit of {label} holds {text[:40]!r}, which is not a date") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
