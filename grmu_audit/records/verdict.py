"""The verdict of a policy on an audit."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from html import escape

from grmu_audit.errors import ExitCode
from grmu_audit.records.metric_value import Group


class Decision(enum.StrEnum):
    """Three states; only PASS promotes."""

    PASS = "PASS"  # noqa: S105  (a verdict, not a password)
    BREACH = "BREACH"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> ExitCode:
        """0, 1 or 3."""
        codes = {"PASS": ExitCode.DONE, "BREACH": ExitCode.BREACH, "INCONCLUSIVE": ExitCode.INCONCLUSIVE}
        return codes[self.value]


@dataclass(frozen=True)
class RuleOutcome:
    """One rule, judged."""

    id: str
    """Rule id of the policy."""
    metric: str
    """Metric that it bounds."""
    decision: Decision
    """Result of a rule or policy."""
    severity: str
    """``block``, ``warn`` or ``inform``."""
    observed: float | None
    """The value judged: the metric, or its change for a comparing rule."""
    interval: tuple[float, float] | None
    """Interval at the policy's family-wise confidence: the one that decided."""
    bound: dict[str, float | list[float]]
    """The bound as written, such as ``{"max": 0.25}``."""
    compare: str
    """``absolute``, ``baseline`` or ``reference``."""
    reason: str
    """One sentence: why this decision."""
    needed: str | None = None
    """For INCONCLUSIVE by width: how many test samples (or subjects) of which group would decide."""
    why: str = ""
    """The policy's own sentence: why the rule exists."""
    group: Group | None = None
    """The group, for a rule on one group."""
    n: int | None = None
    """Samples behind the observed value."""
    waived: bool = False
    """True when a breach is covered by an unexpired waiver."""
    applied: bool = True
    """False when the rule's ``when`` did not hold; it then decides nothing."""

    @property
    def blocking(self) -> bool:
        """Whether it applies and can block a release."""
        return self.applied and self.severity == "block"


@dataclass(frozen=True)
class ControlOutcome:
    """A control, judged by the whole policy as if it were the candidate."""

    name: str
    """Name of the control."""
    null: bool
    """Whether it has forgotten nothing; False for a retrained model."""
    decision: Decision
    """What the policy says of it; a rule that was not measured for it is taken as met."""
    met: tuple[str, ...] = ()
    """Ids of the rules that it meets."""
    not_met: tuple[str, ...] = ()
    """Ids of the blocking rules that it does not meet."""


def label_of_policy(name: str, digest: str) -> str:
    """A policy by its name and the first digits of its digest.

    >>> label_of_policy("default", "3f2a" * 16)
    'default@3f2a3f2a3f2a'
    """
    return f"{name}@{digest[:12]}"


@dataclass(frozen=True)
class Verdict:
    """The policy's decision with every rule behind it."""

    decision: Decision
    """BREACH if a blocking rule is breached and not waived, else INCONCLUSIVE if one is, else PASS."""
    policy: str
    """Policy name."""
    policy_sha256: str
    """Digest of the policy in canonical form."""
    rules: tuple[RuleOutcome, ...]
    """All rules, in the policy's order."""
    confidence: float = 0.95
    """Family-wise confidence."""
    multiplicity: str = "bonferroni"
    """How the confidence is shared among the rules."""
    minimum_group_size: int = 30
    """Cells below this decide nothing."""
    waivers: tuple[dict[str, str], ...] = ()
    """Waivers of the policy, as written."""
    reason: str = ""
    """How the decision follows from rules and controls."""
    controls: tuple[ControlOutcome, ...] = ()
    """Every control of the audit, judged."""
    claims_forgetting: bool = True
    """Whether the policy says anything on forgetting: by a blocking rule, or by demanding exact evidence."""
    null_control_accepted: str = ""
    """Why the policy accepts that a model which forgot nothing may meet it; empty where it does not accept that."""

    @property
    def policy_label(self) -> str:
        """Name and digest of the policy, as a reader sees them: policies of one name differ in it."""
        return label_of_policy(self.policy, self.policy_sha256)

    def met_by_before(self, rule: str) -> bool:
        """Whether the model before unlearning meets a rule too, so that the rule tells nothing about forgetting."""
        return any(rule in control.met for control in self.controls[:1])

    def __repr__(self) -> str:
        """Decision, policy and number of rules."""
        applied = sum(rule.applied for rule in self.rules)
        return f"<Verdict {self.decision}: policy {self.policy_label}, {applied} of {len(self.rules)} rules applied>"

    def _repr_html_(self) -> str:
        """The verdict and its rules as a short table, for notebooks."""
        rows = [(rule.id, rule.decision if rule.applied else "not applied", rule.reason) for rule in self.rules]
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        caption = f"<caption><b>{self.decision}</b> by policy {escape(self.policy_label)}</caption>"
        return f"<table>{caption}<tr><th>rule</th><th>decision</th><th>reason</th></tr>{body}</table>"
