"""What every metric is called, says, hides, needs and ranges over; policies and reports take their words from here."""

from __future__ import annotations

from dataclasses import dataclass

from grmu_audit.errors import NotFoundError
from grmu_audit.metrics.deep_specs import DEEP_SPECS
from grmu_audit.plugins import nearest


@dataclass(frozen=True)
class MetricSpec:
    """One metric in words."""

    name: str
    """Name in policies, JSON and reports."""
    title: str
    """Name for a reader."""
    says: str
    """One plain sentence: what the number says."""
    hides: str
    """One plain sentence: what it does not say."""
    formula: str
    """Definition."""
    source: str
    """Where the definition comes from."""
    needs: str
    """What must be in the prediction file."""
    unit: str = "fraction"
    """Unit of the stored value."""
    low: float = 0.0
    """Smallest possible value."""
    high: float = 1.0
    """Largest possible value."""
    direction: str = "higher"
    """``higher``, ``lower``, ``reference`` (towards a retrained model) or ``target`` (towards ``target``)."""
    target: float | None = None
    """The value to be near to, for direction ``target``."""
    part: str = "test"
    """Split whose samples decide: more of them make the interval narrower."""
    per_group: bool = False
    """True when a value belongs to one group, which a rule must then name."""


_SEED = "Seed paper of group-robust unlearning"
_SPECS = (
    MetricSpec(
        "RA",
        "Retain accuracy",
        "Share of the training samples that stay which the model gets right.",
        "It is measured on training data and says little about new people.",
        "P(yhat = y) on retain",
        _SEED,
        "retain rows",
        direction="reference",
        part="retain",
    ),
    MetricSpec(
        "UA",
        "Accuracy on the forget set",
        "Share of the forget set that the model still gets right.",
        "A low value alone is no goal: a retrained model gets many of them right without having seen them.",
        "P(yhat = y) on forget",
        _SEED,
        "forget rows",
        direction="reference",
        part="forget",
    ),
    MetricSpec(
        "TA",
        "Test accuracy",
        "Share of unseen samples that the model gets right.",
        "An average over all groups hides what happens to a small one.",
        "P(yhat = y) on test",
        _SEED,
        "test rows",
        direction="reference",
    ),
    MetricSpec(
        "VA",
        "Validation accuracy",
        "Share of the validation samples that the model gets right.",
        "The best epoch may have been chosen on these samples, which flatters the number.",
        "P(yhat = y) on val",
        _SEED,
        "val rows",
        direction="reference",
        part="val",
    ),
    MetricSpec(
        "GA",
        "Accuracy of the dominant forget group",
        "Share of unseen samples of the forgotten group that the model gets right.",
        "It pools several dominant groups and says nothing of the others.",
        "P(yhat = y) on test rows of the dominant group(s)",
        _SEED,
        "forget rows, test rows of their group",
    ),
    MetricSpec(
        "WG",
        "Worst-group accuracy",
        "Accuracy of the group that the model serves worst.",
        "Which group is worst may change between models, and a group without test samples is not covered.",
        "min over (y, s) of P(yhat = y given y, s) on test",
        "Sagawa et al. (2020)",
        "test rows of every group",
    ),
    MetricSpec(
        "EO",
        "Equalized-odds gap",
        "How far apart the attribute values are in being classified rightly, averaged over the classes.",
        "An average over classes hides one large gap beside a small one.",
        "mean over y of max_s - min_s of P(yhat = y given y, s) on test",
        "Hardt, Price and Srebro (2016)",
        "test rows of two or more attribute values",
        direction="lower",
    ),
    MetricSpec(
        "DP",
        "Demographic-parity gap",
        "How far apart the attribute values are in how often a class is predicted.",
        "It ignores the truth: a perfect model has a gap where the groups differ in their targets.",
        "max_s - min_s of P(yhat = 1 given s) on test; with more classes the maximum over classes",
        "Dwork et al. (2012)",
        "test rows of two or more attribute values",
        direction="lower",
    ),
    MetricSpec(
        "EP",
        "Equal-opportunity gap",
        "How far apart the attribute values are in how often the positive class is found.",
        "It says nothing of wrong alarms in the other class.",
        "max_s - min_s of P(yhat = 1 given y = 1, s) on test; with more classes the maximum over classes",
        "Hardt, Price and Srebro (2016)",
        "test rows of the positive class of two or more attribute values",
        direction="lower",
    ),
    MetricSpec(
        "MIA",
        "Membership attack, balanced forest",
        "Share of the forget set that an attack on the loss takes for unseen data.",
        "A weak population attack: a passed attack is not proof that nothing remains.",
        "share of forget rows called non-member by a forest fitted on as many retain as val losses",
        _SEED,
        "losses on retain, val and forget",
        direction="reference",
        part="forget",
    ),
    MetricSpec(
        "MIA_PAPER",
        "Membership attack, forest as published",
        "The same attack without balancing, kept to compare with published tables.",
        "With many more members than non-members the forest says member nearly everywhere, so all models look alike.",
        "share of forget rows called non-member by a forest fitted on all retain and val losses",
        _SEED,
        "losses on retain, val and forget",
        direction="reference",
        part="forget",
    ),
    MetricSpec(
        "MIA_AUC",
        "Membership attack, area under the curve",
        "How well an attack tells the forget set from unseen samples of the same groups; one half means not at all.",
        "An average over samples: a few people may be exposed although the area is near one half.",
        "P(score of a forget row > score of a group-matched test row) + half the ties",
        "DeLong et al. (1988); Carlini et al. (2022)",
        "logits or probabilities on forget and test",
        direction="target",
        target=0.5,
        part="forget",
    ),
    MetricSpec(
        "UA_GA_GAP",
        "Forget-set accuracy minus group accuracy",
        "How much better the model knows the forget set than unseen samples of its group; near zero means that both look alike.",
        "Both accuracies may be equally bad.",
        "UA - GA",
        _SEED,
        "forget rows, test rows of their group",
        low=-1.0,
        direction="target",
        target=0.0,
        part="forget",
    ),
    MetricSpec(
        "AVG_GAP",
        "Closeness to the reference",
        "How near the model is to a retrained one, averaged over six metrics.",
        "Equal weights: a large difference in one metric hides behind five small ones.",
        "mean over RA, UA, TA, MIA_PAPER, EO, GA of 1 - abs(metric - reference)",
        _SEED,
        "a reference's predictions",
        part="forget",
    ),
    MetricSpec(
        "TOW",
        "Tug of war",
        "How near the model is to a retrained one in the three accuracies, multiplied.",
        "It knows no groups.",
        "product over RA, UA, TA of 1 - abs(accuracy - reference)",
        "Zhao et al. (2024)",
        "a reference's predictions",
        part="forget",
    ),
    MetricSpec(
        "accuracy",
        "Accuracy of a group",
        "Share of unseen samples of one group that the model gets right.",
        "The group's labels may themselves be wrong or coarse.",
        "P(yhat = y given y, s) on test",
        "Sagawa et al. (2020)",
        "test rows of the group",
        per_group=True,
    ),
)

CATALOG: dict[str, MetricSpec] = {s.name: s for s in (*_SPECS, *(MetricSpec(**entry) for entry in DEEP_SPECS))}
"""Every metric by name, in the order of reports."""


def spec(name: str) -> MetricSpec:
    """The entry of that name.

    Raises:
        NotFoundError: no such metric; the message names the nearest.

    >>> spec("EO").direction
    'lower'
    """
    if name not in CATALOG:
        raise NotFoundError(f"no metric {name!r}{nearest(name, list(CATALOG))}; known: {', '.join(CATALOG)}")
    return CATALOG[name]
