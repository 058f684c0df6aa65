"""The catalogue's entries on whether the forget set comes back."""

from __future__ import annotations

from functools import partial

from grmu_audit.metrics.catalog.examples import IMPORTS, example_code
from grmu_audit.metrics.catalog.spec import OPEN, Level, MetricSpec, Topic

_WHITE_BOX = IMPORTS + "from grmu_audit.metrics.catalog.examples import example_white_box\n"
_MODELS = (
    "model = check_predictions(example()), example_white_box()\n"
    'before = check_predictions(example("baseline")), example_white_box("baseline")\n'
)
_ONE = (
    _WHITE_BOX + "from grmu_audit.metrics.white_box.durability import measure_durability\n\n" + _MODELS
    + "outcomes = measure_durability(model, before)\n"
)  # fmt: skip
_SHARE = (
    _WHITE_BOX + "from grmu_audit.metrics.white_box.durability import measure_return_share\n"
    "from grmu_audit.records.metric_value import BASELINE, CANDIDATE, reference\n\n" + _MODELS
    + 'retrained = check_predictions(example("retrained")), example_white_box("retrained")\n'
    "models = {CANDIDATE: model, BASELINE: before, reference(1): retrained}\n"
    "outcomes = measure_return_share(models, [reference(1)])\n"
)  # fmt: skip
_TUNED = (
    "level standard: fine-tunes each model for 5 epochs on the retain set (--return-epochs; within --budget), with one pass over "
    "all samples an epoch, once; then cached"
)
_CHANGED = "level standard: one pass over all samples for each changed copy of the weights, once; then cached"
_forgetting = partial(MetricSpec, level=Level.STANDARD, topic=Topic.FORGETTING, direction="reference")
_accuracy = partial(_forgetting, part="forget", also_per_group=True, needs="the model, forget rows")
_ROUNDED = "w' = s round(w / s), s = max|w| / (2^(b-1) - 1) per output channel of every matrix and kernel, b = {bits}"
_QUANTISED = "Zhang et al. (2024, arXiv 2410.16454), for language models"


def _rounded(bits: int) -> MetricSpec:
    return _accuracy(
        name=f"RETURN_INT{bits}",
        title=f"Forget accuracy with {bits}-bit weights",
        says=f"Share of the forget set that the model gets right once its weights are rounded to {bits} bits.",
        hides="Rounding also harms a model: a low value says nothing without the accuracy on other samples.",
        formula=f"P(f'(x) = y) on forget; {_ROUNDED.format(bits=bits)}",
        source=_QUANTISED,
        undefined="no forget row",
        cost=_CHANGED,
        example=example_code(_ONE, f"RETURN_INT{bits}"),
    )


DURABILITY_METRICS: tuple[MetricSpec, ...] = (
    _accuracy(
        name="RETURN_ACC",
        title="Forget accuracy after fine-tuning on the retain set",
        says="Share of the forget set that the model gets right after a few more epochs of training without it.",
        hides="Similar retain samples raise it in a model that never saw the forget set, too: only what exceeds a retrained "
        "model's value was kept. One run; the interval is of the samples, not of the fine-tuning's seed.",
        formula="P(f_E(x) = y) on forget, f_E: E epochs (5) on retain alone, the first version's recipe at a fifth of its peak "
        "learning rate, constant",
        source="Siddiqui et al. (2025, arXiv 2505.22310)",
        needs="the model, retain and forget rows",
        undefined="no forget row; no retain row; the fine-tuning diverged or did not fit into the budget",
        cost=_TUNED,
        example=example_code(_ONE, "RETURN_ACC"),
    ),
    _forgetting(
        name="RETURN_SHARE",
        title="Forgetting share after fine-tuning",
        says="How much of what sets a retrained model apart is left once all models were trained on without the forget set.",
        hides="It measures outputs after one kind of further training; another kind may bring more back.",
        formula="FORGET_SHARE with the candidate, the version before and the references each after the same E epochs (5) of "
        "fine-tuning on retain alone",
        source="Siddiqui et al. (2025, arXiv 2505.22310), with the forgetting share for the accuracy",
        needs="the model, the version before, a retrained model; forget, retain, val and test rows",
        direction="target",
        target=1.0,
        low=-OPEN,
        high=OPEN,
        part="forget",
        undefined="as FORGET_SHARE; a model that was not fine-tuned for as many epochs",
        cost=_TUNED,
        example=example_code(_SHARE, "RETURN_SHARE"),
    ),
    _rounded(8),
    _rounded(4),
    _accuracy(
        name="RETURN_PRUNED",
        title="Forget accuracy of the pruned model",
        says="Share of the forget set that the model gets right once the smaller half of its weights is zero.",
        hides="Pruning also harms a model: a low value says nothing without the accuracy on other samples.",
        formula="P(f'(x) = y) on forget; the half of all matrix and kernel weights with the smallest |w| is 0",
        source="magnitude pruning (Han et al. 2015)",
        undefined="no forget row",
        cost=_CHANGED,
        example=example_code(_ONE, "RETURN_PRUNED"),
    ),
    _forgetting(
        name="WEIGHT_DISTANCE",
        title="Distance of the weights to the version before",
        says="How far unlearning moved the weights, in lengths of the weights before.",
        hides="A cheap predictor only: a model may move far and keep everything.",
        formula="|theta - theta_before| / |theta_before| over all parameters",
        source="Siddiqui et al. (2025, arXiv 2505.22310)",
        needs="the model and the version before, of one architecture",
        unit="ratio",
        high=OPEN,
        undefined="no version before of the same architecture",
        cost=_CHANGED,
        example=example_code(_ONE, "WEIGHT_DISTANCE"),
    ),
    _forgetting(
        name="LMC_BARRIER",
        title="Barrier on the line to the version before",
        says="How much more often unseen samples are wrong half-way to the version before than at both ends.",
        hides="A cheap predictor only, at three points of the line; running statistics are mixed like weights. The worst of "
        "three is taken, which is a little too high.",
        formula="max over a in 0.25, 0.5, 0.75 of err(a theta + (1 - a) theta_before) - a err(theta) - (1 - a) err(theta_before) "
        "on test",
        source="Frankle et al. (2020); as a predictor Siddiqui et al. (2025, arXiv 2505.22310)",
        needs="the model and the version before, of one architecture; test rows",
        low=-1.0,
        undefined="no version before of the same architecture; no test row",
        cost=_CHANGED,
        example=example_code(_ONE, "LMC_BARRIER"),
    ),
)
"""Entries in the order of reports."""
