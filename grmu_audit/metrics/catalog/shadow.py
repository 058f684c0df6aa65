"""The catalogue's entries of metrics that need shadow models."""

from __future__ import annotations

from functools import partial

from grmu_audit.metrics.catalog.examples import IMPORTS, example_code
from grmu_audit.metrics.catalog.spec import OPEN, Level, MetricSpec, Topic

_SHADOW = IMPORTS + "from grmu_audit.metrics.catalog.examples import example_shadows\n"
_MODEL = (
    _SHADOW + "from grmu_audit.metrics.membership.shadow_metrics import attack_audited_model\n\n"
    "outcomes = attack_audited_model(check_predictions(example()), example_shadows())\n"
)
_SHARE = (
    _SHADOW + "from grmu_audit.metrics.membership.remaining_share import measure_remaining_share\n\n"
    "outcomes = measure_remaining_share(check_predictions(example()), example_shadows())\n"
)
_METHOD = (
    _SHADOW + "from grmu_audit.metrics.membership.shadow_metrics import attack_method_on_shadows\n\n"
    "outcomes = attack_method_on_shadows(check_predictions(example()), example_shadows())\n"
)
_POOL = "level deep: trains shadow models once (16 by default, on half of the data), shared with all later audits"
_RUNS = _POOL + ", and runs the method on each of them"
_forgetting = partial(MetricSpec, part="forget", level=Level.DEEP, topic=Topic.FORGETTING)
_of_model = partial(_forgetting, cost=_POOL, also_per_group=True)
_of_method = partial(_forgetting, cost=_RUNS, needs="shadow models that the method was run on")
SHADOW_METRICS: tuple[MetricSpec, ...] = (
    _of_model(
        name="RMIA_AUC",
        title="Membership attack RMIA",
        says="How well an attack that compares the model with shadow models distinguishes the forget set from unseen samples.",
        hides="An average over samples: a few people may be exposed although the area is near one half.",
        formula="area under the curve of the share of validation samples z with ratio(x) > ratio(z), "
        "ratio = p_model / mean of p over shadow models; forget against group-matched test",
        source="Zarifzadeh et al. (2024)",
        needs="shadow models; logits on forget, val and test",
        direction="target",
        target=0.5,
        undefined="fewer than four shadow models; no forget row with test rows of its group; no val row; no logits",
        example=example_code(_MODEL, "RMIA_AUC"),
    ),
    _of_model(
        name="LIRA_AUC",
        title="Membership attack LiRA",
        says="How well a sample's margin, compared with models without it, distinguishes the forget set from unseen samples.",
        hides="An average over samples; with few shadow models the attack is weaker than it can be.",
        formula="area under the curve of (phi - mean_out) / sd_out or of log N(phi; in) - log N(phi; out), with one variance for "
        "all samples or one each, phi = log p_y / (1 - p_y): the form that does best on the pool, where each model is attacked "
        "with the others; forget against group-matched test; details hold the area of every form",
        source="Carlini et al. (2022)",
        needs="shadow models; logits on forget and test",
        direction="target",
        target=0.5,
        undefined="fewer than four shadow models; no forget row with test rows of its group; no logits",
        example=example_code(_MODEL, "LIRA_AUC"),
    ),
    _of_model(
        name="REMAINING_SHARE",
        title="Share that still looks used",
        says="Share of the forget set that the model looks to have been trained on, corrected by the attack's own error rates.",
        hides="The error rates are those of shadow models on half of the data; a model on all of it memorises less of each, "
        "so that the share comes out too low: read it against the value of the model before and of a retrained one.",
        formula="(c - FPR) / (TPR - FPR), c = share of forget with RMIA score > t; TPR, FPR of the same attack on shadow models, "
        "each attacked with the others, t where TPR - FPR is largest",
        source="Tong et al. (2025), How Much of My Dataset Did You Use? (DUCI)",
        needs="shadow models; logits on forget and val",
        low=-OPEN,
        high=OPEN,
        direction="reference",
        also_per_group=False,
        undefined="fewer than four shadow models; fewer than 20 forget rows; no val row; no logits; TPR - FPR not surely above 0",
        example=example_code(_SHARE, "REMAINING_SHARE"),
    ),
    _of_method(
        name="ULIRA_AUC",
        title="Unlearning attack U-LiRA",
        says="How well an attack distinguishes what the method unlearned from what was never seen, on models of known truth.",
        hides="It judges the method on models of half the data, not this one version.",
        formula="area under the curve of log N(phi; unlearned) - log N(phi; never seen), each model attacked with the others, "
        "with one variance for all samples or one each as does best on these others",
        source="Hayes et al. (2024, arXiv 2403.01218)",
        direction="target",
        target=0.5,
        undefined="fewer than four shadow models that the method was run on; the version was retrained; no forget row",
        example=example_code(_METHOD, "ULIRA_AUC"),
    ),
    _of_method(
        name="RULI_AUC",
        title="Unlearning attack RULI",
        says="The same with kernel densities for each sample.",
        hides="Kernel densities of a handful of models are rough.",
        formula="area under the curve of log kde(phi; unlearned) - log kde(phi; never seen), Silverman's bandwidth",
        source="Naderloui et al. (2025, arXiv 2506.13009)",
        direction="target",
        target=0.5,
        undefined="fewer than four shadow models that the method was run on; the version was retrained; no forget row",
        example=example_code(_METHOD, "RULI_AUC"),
    ),
    _of_method(
        name="FORGET_EPS",
        title="Forgetting epsilon",
        says="How far apart a forget sample's answers are in models that unlearned it and in models that never saw it.",
        hides="It cannot exceed what few models resolve; an interval that holds 0 finds nothing and rules nothing out.",
        formula="mean over forget of max over rules of log((1 - delta - FPR) / FNR) or its mirror, 50 for perfect separation, "
        "less the same when models change sides at random: a maximum over rules is above 0 for equal models, too",
        source="Triantafillou et al. (2024, arXiv 2406.09073)",
        unit="nats",
        low=-50.0,
        high=50.0,
        direction="lower",
        undefined="fewer than eight shadow models that the method was run on; the version was retrained; no forget row",
        example=example_code(_METHOD, "FORGET_EPS"),
    ),
    _of_method(
        name="KLOM_95",
        title="KL divergence of margins, 95th percentile",
        says="How far apart unlearned models and models without them are on the worst twentieth of the forget set.",
        hides="Histograms of few models are rough; an interval that holds 0 finds nothing and rules nothing out.",
        formula="95th percentile over forget of KL(margins unlearned || margins never seen), 20 bins, less the same when models "
        "change sides at random: histograms of few models differ by chance alone",
        source="Georgiev et al. (2024)",
        unit="nats",
        low=-OPEN,
        high=OPEN,
        direction="lower",
        undefined="fewer than eight shadow models that the method was run on; the version was retrained; no forget row",
        example=example_code(_METHOD, "KLOM_95"),
    ),
    _of_method(
        name="SWAP",
        title="Advantage in the SWAP test",
        says="How much more often an adversary says 'forgotten' of what was forgotten than of what was never seen, "
        "splits swapped.",
        hides="It tests one threshold on the margin.",
        formula="mean over pairs of complementary models of P(says forgotten | forgotten) - P(says forgotten | never seen)",
        source="Tu et al. (2024, arXiv 2404.11577)",
        low=-1.0,
        direction="target",
        target=0.0,
        undefined="fewer than four shadow models that the method was run on; the version was retrained; no forget row",
        example=example_code(_METHOD, "SWAP"),
    ),
)
"""Entries in the order of reports."""
