"""The catalogue's entries of metrics that need the model itself, or shadow models."""

from __future__ import annotations

from grmu_audit.metrics.spec import MetricSpec
from grmu_audit.records.probes import RADII_OF, attack_name

_OPEN = 1e9
_FROM = "from grmu_audit.metrics import facts\nfrom grmu_audit.metrics.example import example\n"
_PROBES = _FROM + "from grmu_audit.metrics.example_models import example_probes\n"
_PRINT = (
    'found = next(v for v in values if v.name == "{name}")\n'
    "low, high = found.interval\n"
    'print(f"{found.name} = {found.value:.3f}, 95 % interval {low:.3f} to {high:.3f}, n = {found.n}")'
)
_WORDS = 'subject="candidate", confidence=0.95)\n'
_ATTACK = (
    _PROBES
    + "from grmu_audit.metrics.robustness import under_attack\n\nvalues = under_attack(facts(example()), example_probes(), "
    + _WORDS
)
_GAP = (
    "from grmu_audit.metrics.example_models import example_probes\nfrom grmu_audit.metrics.robustness import fairness_gaps\n\n"
    "values = fairness_gaps(example_probes(), " + _WORDS
)
_READ = (
    _PROBES + "from grmu_audit.metrics.representation import recovered, recoveries\n\nf = facts(example())\n"
    "values = recoveries(f, recovered(f, example_probes()), " + _WORDS
)
_FAR = (
    _PROBES + "from grmu_audit.metrics.representation import distances\n\n"
    'reference = facts(example("retrained")), example_probes("retrained")\n'
    'values = distances(facts(example()), example_probes(), {"reference#1": reference}, ' + _WORDS
)
_AGAIN = (
    "from grmu_audit.metrics.example_models import example_probes\nfrom grmu_audit.metrics.representation import relearn\n\n"
    "values = [relearn(example_probes(), 228, " + _WORDS.replace(")\n", ")]\n")
)
_SHADOW = _FROM + "from grmu_audit.metrics.example_models import example_shadows\n"
_MODEL = (
    _SHADOW + "from grmu_audit.metrics.shadow_values import attack_model\n\n"
    "values = attack_model(facts(example()), example_shadows(), " + _WORDS
)
_METHOD = (
    _SHADOW + "from grmu_audit.metrics.shadow_values import attack_method\n\n"
    "values = attack_method(facts(example()), example_shadows(), " + _WORDS
)
_STANDARD = "level standard: asks each model once, then kept"
_DEEP = "level deep: asks each model once, then kept"
_POOL = "level deep: trains shadow models once (16 by default, on half of the data), shared with all later audits"
_RUNS = _POOL + ", and runs the method on each of them"


_ATTACKS = {
    "FGSM": ("one gradient step", "Goodfellow et al. (2015)", "A weak attack: what withstands it may fall to a stronger one."),
    "PGD": (
        "20 projected gradient steps from a random start",
        "Madry et al. (2018)",
        "An upper bound on the true accuracy under attack: a stronger attack may find more.",
    ),
    "AA": (
        "AutoAttack, an ensemble without parameters",
        "Croce and Hein (2020)",
        "An upper bound; costly, so that only one radius is measured. With two or three classes its targeted parts do not run.",
    ),
}


def _shown(code: str, name: str) -> str:
    """The example of one metric."""
    return (code + _PRINT).replace("{name}", name, 1)


def _attack_entries() -> list[MetricSpec]:
    entries = []
    for kind, (how, source, hides) in _ATTACKS.items():
        for radius in RADII_OF[kind]:
            words = f"{radius * 255:.3g}/255" if radius < 0.05 else f"{radius:g}"
            entries.append(
                MetricSpec(
                    name=attack_name(kind, radius),
                    title=f"Accuracy under {kind}, radius {words}",
                    says=f"Share of unseen samples still right after {how} that moves no pixel by more than {words}.",
                    hides=hides,
                    formula=f"P(f(x') = y) on test, |x' - x| <= {radius:.4g} per pixel in [0, 1]",
                    source=source,
                    needs="the model, test rows",
                    direction="reference",
                    undefined="no test row; texts, whose inputs have no small steps"
                    + ("; the library is not installed" if kind == "AA" else ""),
                    also_per_group=True,
                    example=_shown(_ATTACK, attack_name(kind, radius)),
                    cost=_DEEP if kind == "AA" else _STANDARD,
                )
            )
    return entries


FROM_MODELS: tuple[MetricSpec, ...] = (
    *_attack_entries(),
    MetricSpec(
        name="FAIRNESS_GAP",
        title="Fairness-gap over classes",
        says="How differently the classes spread inside the network, averaged over its normalisation layers.",
        hides="It has the unit of squared activations, so that it compares models of one architecture only; "
        "a span of noisy numbers is biased upwards.",
        formula="mean over layers l of max_c - min_c of the variance of the activations of class c at l",
        source="Tran and Woo (2025)",
        needs="the model, test rows of two or more classes",
        unit="squared activation",
        high=_OPEN,
        direction="reference",
        undefined="the network has no normalisation layer; fewer than two classes have two test rows",
        example=_shown(_GAP, "FAIRNESS_GAP"),
        cost=_STANDARD,
    ),
    MetricSpec(
        name="FAIRNESS_GAP_GROUP",
        title="Fairness-gap over groups",
        says="How differently the groups spread inside the network, averaged over its normalisation layers.",
        hides="Groups of different classes differ for good reasons: read it against a retrained model.",
        formula="mean over layers l of max_g - min_g of the variance of the activations of group g at l",
        source="after Tran and Woo (2025), with groups for classes",
        needs="the model, test rows of two or more groups",
        unit="squared activation",
        high=_OPEN,
        direction="reference",
        undefined="the network has no normalisation layer; fewer than two groups have two test rows",
        example=_shown(_GAP, "FAIRNESS_GAP_GROUP"),
        cost=_STANDARD,
    ),
    MetricSpec(
        name="CKA",
        title="Alike features (CKA)",
        says="How alike the model's features of the forget set are to a retrained model's.",
        hides="Features may be alike as a whole and differ where it matters; two retrained models also differ.",
        formula="HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), linear kernels, unbiased, on forget",
        source="Kornblith et al. (2019); Song et al. (2012)",
        needs="the model, a retrained model, forget rows",
        low=-1.0,
        direction="reference",
        part="forget",
        undefined="no reference; fewer than eight forget rows",
        example=_shown(_FAR, "CKA"),
        cost=_STANDARD,
        also_per_group=True,
        unit="score",
    ),
    MetricSpec(
        name="KNN",
        title="Label found by nearest neighbours",
        says="Share of the forget set whose label follows from the 5 nearest retain samples in feature space.",
        hides="Alike samples that stay give the label away also in a retrained model.",
        formula="P(majority label of the 5 nearest retain features = y) on forget",
        source="Fan et al. (2025, arXiv 2503.06991)",
        needs="the model, retain and forget rows",
        direction="reference",
        part="forget",
        undefined="no forget row; fewer than five retain rows",
        example=_shown(_READ, "KNN"),
        cost=_STANDARD,
        also_per_group=True,
    ),
    MetricSpec(
        name="PROBE",
        title="Label found by a linear probe",
        says="Share of the forget set whose label a linear classifier reads from the features.",
        hides="Good features give labels of unseen samples too: only the difference to a retrained model is left knowledge.",
        formula="P(logistic regression on validation features says y) on forget",
        source="Alain and Bengio (2017)",
        needs="the model, val and forget rows",
        direction="reference",
        part="forget",
        undefined="no forget row; validation rows of fewer than two classes",
        example=_shown(_READ, "PROBE"),
        cost=_STANDARD,
        also_per_group=True,
    ),
    MetricSpec(
        name="PROTO",
        title="Label found by prototypes",
        says="Share of the forget set that lies nearest to the mean feature of its class, from 5 forget samples per class.",
        hides="It rests on a handful of samples.",
        formula="P(nearest class mean = y) on the other forget rows",
        source="Snell et al. (2017)",
        needs="the model, forget and val rows",
        direction="reference",
        part="forget",
        undefined="no forget row beside those that make the prototypes",
        example=_shown(_READ, "PROTO"),
        cost=_STANDARD,
        also_per_group=True,
    ),
    MetricSpec(
        name="ACTIVATION_DISTANCE",
        title="Distance of the answers",
        says="How far the model's probabilities for the forget set are from a retrained model's.",
        hides="Two retrained models also differ.",
        formula="mean over forget of the Euclidean distance of the two softmax vectors",
        source="Golatkar et al. (2021)",
        needs="logits of the model and a retrained model, forget rows",
        high=2**0.5,
        direction="lower",
        part="forget",
        undefined="no reference; no forget row; no logits",
        example=_shown(_FAR, "ACTIVATION_DISTANCE"),
        cost=_STANDARD,
        also_per_group=True,
    ),
    MetricSpec(
        name="JS",
        title="Divergence of the answers",
        says="How differently the model and a retrained model answer for the forget set, in bits.",
        hides="Two retrained models also differ.",
        formula="mean over forget of the Jensen-Shannon divergence of the two softmax vectors",
        source="Lin (1991)",
        needs="logits of the model and a retrained model, forget rows",
        unit="bits",
        direction="lower",
        part="forget",
        undefined="no reference; no forget row; no logits",
        example=_shown(_FAR, "JS"),
        cost=_STANDARD,
        also_per_group=True,
    ),
    MetricSpec(
        name="RMIA_AUC",
        title="Membership attack RMIA",
        says="How well an attack that compares the model with shadow models tells the forget set from unseen samples.",
        hides="An average over samples: a few people may be exposed although the area is near one half.",
        formula="area under the curve of the share of validation samples z with ratio(x) > ratio(z), "
        "ratio = p_model / mean of p over shadow models; forget against group-matched test",
        source="Zarifzadeh et al. (2024)",
        needs="shadow models; logits on forget, val and test",
        direction="target",
        target=0.5,
        part="forget",
        undefined="fewer than four shadow models; no forget row with test rows of its group; no val row; no logits",
        example=_shown(_MODEL, "RMIA_AUC"),
        cost=_POOL,
        also_per_group=True,
    ),
    MetricSpec(
        name="LIRA_AUC",
        title="Membership attack LiRA",
        says="How well a sample's margin, compared with models without it, tells the forget set from unseen samples.",
        hides="An average over samples; with few shadow models the attack is weaker than it can be.",
        formula="area under the curve of (phi - mean_out) / sd_out, phi = log p_y / (1 - p_y); from 64 shadow models on of "
        "log N(phi; in) - log N(phi; out); forget against group-matched test",
        source="Carlini et al. (2022)",
        needs="shadow models; logits on forget and test",
        direction="target",
        target=0.5,
        part="forget",
        undefined="fewer than four shadow models; no forget row with test rows of its group; no logits",
        example=_shown(_MODEL, "LIRA_AUC"),
        cost=_POOL,
        also_per_group=True,
    ),
    MetricSpec(
        name="ULIRA_AUC",
        title="Unlearning attack U-LiRA",
        says="How well an attack tells, in models whose truth is known, what the method unlearned from what was never seen.",
        hides="It judges the method on models of half the data, not this one version.",
        formula="area under the curve of log N(phi; unlearned) - log N(phi; never seen), each model attacked with the others",
        source="Hayes et al. (2024, arXiv 2403.01218)",
        needs="shadow models that the method was run on",
        direction="target",
        target=0.5,
        part="forget",
        undefined="fewer than four shadow models that the method was run on; the version was retrained; no forget row",
        example=_shown(_METHOD, "ULIRA_AUC"),
        cost=_RUNS,
    ),
    MetricSpec(
        name="RULI_AUC",
        title="Unlearning attack RULI",
        says="The same with kernel densities for each sample.",
        hides="Kernel densities of a handful of models are rough.",
        formula="area under the curve of log kde(phi; unlearned) - log kde(phi; never seen), Silverman's bandwidth",
        source="Naderloui et al. (2025, arXiv 2506.13009)",
        needs="shadow models that the method was run on",
        direction="target",
        target=0.5,
        part="forget",
        undefined="fewer than four shadow models that the method was run on; the version was retrained; no forget row",
        example=_shown(_METHOD, "RULI_AUC"),
        cost=_RUNS,
    ),
    MetricSpec(
        name="FORGET_EPS",
        title="Forgetting epsilon",
        says="How far apart a forget sample's answers are in models that unlearned it and in models that never saw it.",
        hides="The plug-in value is a maximum over rules, biased upwards, and cannot exceed what few models resolve; "
        "its lower bound stands in the details.",
        formula="mean over forget of max over rules of log((1 - delta - FPR) / FNR) or its mirror, 50 for perfect separation",
        source="Triantafillou et al. (2024, arXiv 2406.09073)",
        needs="shadow models that the method was run on",
        unit="nats",
        high=50.0,
        direction="lower",
        part="forget",
        undefined="fewer than eight shadow models that the method was run on; the version was retrained; no forget row",
        example=_shown(_METHOD, "FORGET_EPS"),
        cost=_RUNS,
    ),
    MetricSpec(
        name="KLOM_95",
        title="KL divergence of margins, 95th percentile",
        says="How differently unlearned models, and models that never saw it, answer for the worst twentieth of the forget set.",
        hides="Histograms of few models differ by chance alone: compare with the value between models that never saw the samples.",
        formula="95th percentile over forget of KL(margins unlearned || margins never seen), 20 bins",
        source="Georgiev et al. (2024)",
        needs="shadow models that the method was run on",
        unit="nats",
        high=_OPEN,
        direction="lower",
        part="forget",
        undefined="fewer than eight shadow models that the method was run on; the version was retrained; no forget row",
        example=_shown(_METHOD, "KLOM_95"),
        cost=_RUNS,
    ),
    MetricSpec(
        name="SWAP",
        title="Advantage in the SWAP test",
        says="How much oftener an adversary says 'forgotten' of what was forgotten than of what was never seen, splits swapped.",
        hides="It tests one threshold on the margin.",
        formula="mean over pairs of complementary models of P(says forgotten | forgotten) - P(says forgotten | never seen)",
        source="Tu et al. (2024, arXiv 2404.11577)",
        needs="shadow models that the method was run on",
        low=-1.0,
        direction="target",
        target=0.0,
        part="forget",
        undefined="fewer than four shadow models that the method was run on; the version was retrained; no forget row",
        example=_shown(_METHOD, "SWAP"),
        cost=_RUNS,
    ),
    MetricSpec(
        name="RELEARN",
        title="Epochs to learn it again",
        says="How many short epochs of ordinary training the model needs to know the forget set again.",
        hides="It depends on the learning rate: compare it with a retrained model under the same seeds only.",
        formula="first epoch with mean cross-entropy on forget < 0.1 nats; 500 random training samples an epoch, rate 0.01",
        source="Golatkar et al. (2020)",
        needs="the model, training rows",
        unit="epochs",
        high=_OPEN,
        direction="reference",
        part="forget",
        undefined="no forget row; a run that does not get there in 20 epochs",
        example=_shown(_AGAIN, "RELEARN"),
        cost=_DEEP,
    ),
)
"""Entries in the order of reports."""

DEEP_NAMES = frozenset(entry.name for entry in FROM_MODELS)
"""Names of the metrics that do not follow from predictions alone."""
