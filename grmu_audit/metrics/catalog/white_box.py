"""The catalogue's entries of metrics that need the network itself."""

from __future__ import annotations

from functools import partial

from grmu_audit.metrics.catalog.examples import IMPORTS, example_code
from grmu_audit.metrics.catalog.spec import OPEN, Level, MetricSpec, Topic
from grmu_audit.records.white_box import RADII_OF, attack_name

_WHITE_BOX = IMPORTS + "from grmu_audit.metrics.catalog.examples import example_white_box\n"
_ATTACK = (
    _WHITE_BOX + "from grmu_audit.metrics.white_box.robustness import measure_robustness\n\n"
    "outcomes = measure_robustness(check_predictions(example()), example_white_box())\n"
)
_GAP = (
    "from grmu_audit.metrics.catalog.examples import example_white_box\n"
    "from grmu_audit.metrics.white_box.layer_gaps import measure_layer_gaps\n\n"
    "outcomes = measure_layer_gaps(example_white_box())\n"
)
_READ = (
    _WHITE_BOX + "from grmu_audit.metrics.white_box.representation import measure_label_recovery, recover_labels\n\n"
    "checked = check_predictions(example())\n"
    "outcomes = measure_label_recovery(checked, recover_labels(checked, example_white_box()))\n"
)
_FAR = (
    _WHITE_BOX + "from grmu_audit.metrics.white_box.representation import measure_distances\n"
    "from grmu_audit.records.metric_value import reference\n\n"
    "model = check_predictions(example()), example_white_box()\n"
    'retrained = check_predictions(example("retrained")), example_white_box("retrained")\n'
    "outcomes = measure_distances(model, {reference(1): retrained})\n"
)
_AGAIN = (
    _WHITE_BOX + "from grmu_audit.metrics.white_box.representation import measure_relearning\n\n"
    "outcomes = measure_relearning(check_predictions(example()), example_white_box())\n"
)
_QUERIED = "each model is queried once, then its outputs are cached"
_STANDARD = f"level standard: {_QUERIED}"
_DEEP = f"level deep: {_QUERIED}"
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
_layer_gap = partial(
    MetricSpec,
    cost=_STANDARD,
    level=Level.STANDARD,
    topic=Topic.ROBUSTNESS,
    unit="squared activation",
    high=OPEN,
    direction="reference",
)
_forgetting = partial(
    MetricSpec, cost=_STANDARD, level=Level.STANDARD, topic=Topic.FORGETTING, part="forget", also_per_group=True
)


def _attack_entries() -> list[MetricSpec]:
    entries = []
    for kind, (how, source, hides) in _ATTACKS.items():
        for radius in RADII_OF[kind]:
            words = f"{radius * 255:.3g}/255" if radius < 0.05 else f"{radius:g}"
            entries.append(
                MetricSpec(
                    name=attack_name(kind, radius),
                    title=f"Accuracy under {'AutoAttack' if kind == 'AA' else kind}, radius {words}",
                    says=f"Share of unseen samples still right after {how} that moves no pixel by more than {words}.",
                    hides=hides,
                    formula=f"P(f(x') = y) on test, |x' - x| <= {radius:.4g} per pixel in [0, 1]",
                    source=source,
                    needs="the model, test rows",
                    direction="reference",
                    undefined="no test row; texts, whose inputs have no small steps"
                    + ("; the library is not installed" if kind == "AA" else ""),
                    also_per_group=True,
                    example=example_code(_ATTACK, attack_name(kind, radius)),
                    cost=_DEEP if kind == "AA" else _STANDARD,
                    level=Level.DEEP if kind == "AA" else Level.STANDARD,
                    topic=Topic.ROBUSTNESS,
                )
            )
    return entries


WHITE_BOX_METRICS: tuple[MetricSpec, ...] = (
    *_attack_entries(),
    _layer_gap(
        name="FAIRNESS_GAP",
        title="Fairness-gap over classes",
        says="How differently the classes spread inside the network, averaged over its normalisation layers.",
        hides="It has the unit of squared activations, so that it compares models of one architecture only; "
        "a span of noisy numbers is biased upwards.",
        formula="mean over layers l of max_c - min_c of the variance of the activations of class c at l",
        source="Tran and Woo (2025)",
        needs="the model, test rows of two or more classes",
        undefined="the network has no normalisation layer; fewer than two classes have two test rows",
        example=example_code(_GAP, "FAIRNESS_GAP"),
    ),
    _layer_gap(
        name="FAIRNESS_GAP_GROUP",
        title="Fairness-gap over groups",
        says="How differently the groups spread inside the network, averaged over its normalisation layers.",
        hides="Groups of different classes differ for good reasons: read it against a retrained model.",
        formula="mean over layers l of max_g - min_g of the variance of the activations of group g at l",
        source="after Tran and Woo (2025), with groups for classes",
        needs="the model, test rows of two or more groups",
        undefined="the network has no normalisation layer; fewer than two groups have two test rows",
        example=example_code(_GAP, "FAIRNESS_GAP_GROUP"),
    ),
    _forgetting(
        name="CKA",
        title="Alike features (CKA)",
        says="How alike the model's features of the forget set are to a retrained model's.",
        hides="Features may be alike as a whole and differ where it matters; two retrained models also differ.",
        formula="HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), linear kernels, unbiased, on forget",
        source="Kornblith et al. (2019); Song et al. (2012)",
        needs="the model, a retrained model, forget rows",
        low=-1.0,
        direction="reference",
        undefined="no reference; fewer than eight forget rows",
        example=example_code(_FAR, "CKA"),
        unit="score",
    ),
    _forgetting(
        name="KNN",
        title="Label found by nearest neighbours",
        says="Share of the forget set whose label follows from the 5 nearest retain samples in feature space.",
        hides="Similar retain samples give the label away in a retrained model too.",
        formula="P(majority label of the 5 nearest retain features = y) on forget",
        source="Fan et al. (2025, arXiv 2503.06991)",
        needs="the model, retain and forget rows",
        direction="reference",
        undefined="no forget row; fewer than five retain rows",
        example=example_code(_READ, "KNN"),
    ),
    _forgetting(
        name="PROBE",
        title="Label found by a linear probe",
        says="Share of the forget set whose label a linear classifier reads from the features.",
        hides="Good features give labels of unseen samples too: only the difference to a retrained model is left knowledge.",
        formula="P(logistic regression on validation features says y) on forget",
        source="Alain and Bengio (2017)",
        needs="the model, val and forget rows",
        direction="reference",
        undefined="no forget row; validation rows of fewer than two classes",
        example=example_code(_READ, "PROBE"),
    ),
    _forgetting(
        name="PROTO",
        title="Label found by prototypes",
        says="Share of the forget set that lies nearest to the mean feature of its class, from 5 forget samples per class.",
        hides="It rests on a handful of samples.",
        formula="P(nearest class mean = y) on the other forget rows",
        source="Snell et al. (2017)",
        needs="the model, forget and val rows",
        direction="reference",
        undefined="no forget row beside those of the prototypes",
        example=example_code(_READ, "PROTO"),
    ),
    _forgetting(
        name="ACTIVATION_DISTANCE",
        title="Distance of the answers",
        says="How far the model's probabilities for the forget set are from a retrained model's.",
        hides="Two retrained models also differ.",
        formula="mean over forget of the Euclidean distance of the two softmax vectors",
        source="Golatkar et al. (2021)",
        needs="logits of the model and a retrained model, forget rows",
        high=2**0.5,
        direction="lower",
        undefined="no reference; no forget row; no logits",
        example=example_code(_FAR, "ACTIVATION_DISTANCE"),
    ),
    _forgetting(
        name="JS",
        title="Divergence of the answers",
        says="How differently the model and a retrained model answer for the forget set, in bits.",
        hides="Two retrained models also differ.",
        formula="mean over forget of the Jensen-Shannon divergence of the two softmax vectors",
        source="Lin (1991)",
        needs="logits of the model and a retrained model, forget rows",
        unit="bits",
        direction="lower",
        undefined="no reference; no forget row; no logits",
        example=example_code(_FAR, "JS"),
    ),
    MetricSpec(
        name="RELEARN",
        title="Epochs to relearn",
        says="How many short epochs of ordinary training the model needs to relearn the forget set.",
        hides="It depends on the learning rate: compare it with a retrained model under the same seeds only.",
        formula="first epoch with mean cross-entropy on forget < 0.1 nats; 500 random training samples an epoch, rate 0.01",
        source="Golatkar et al. (2020)",
        needs="the model, training rows",
        unit="epochs",
        high=20.0,
        direction="reference",
        part="forget",
        undefined="no forget row; a run that does not get there in 20 epochs",
        example=example_code(_AGAIN, "RELEARN"),
        cost=_DEEP,
        level=Level.DEEP,
        topic=Topic.FORGETTING,
    ),
)
"""Entries in the order of reports."""
