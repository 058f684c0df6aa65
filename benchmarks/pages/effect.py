"""Does PhotoDigits show the seed paper's effect?  Pretrain, retrain, unlearn over several seeds; mean and spread.

python -m benchmarks.pages.effect [--seeds 5] [--ratio 0.5] [--write docs/effect.md]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from grmu_audit import __version__
from grmu_audit.auditing.measurement import measure
from grmu_audit.data.batches import BatchSource
from grmu_audit.data.forget import sample_forget
from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits
from grmu_audit.evaluation.predict import forward, with_request
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.records import (
    Audit,
    AuditContext,
    AuditedModel,
    AuditInputs,
    DataRecord,
    ForgetRecord,
    Group,
    MeasureOptions,
    ModelRef,
    Predictions,
)
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import fit
from grmu_audit.training.runtime import Runtime, choose_device, choose_precision, derive_seed, hardware, place
from grmu_audit.unlearning.apply import unlearn
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods

RARE = Group(1, 0)
METRICS = ("RA", "UA", "TA", "GA", "WG", "EO", "MIA_AUC", "AVG_GAP")
VARIANTS = (
    ("retrain", "retrain", False),
    ("retrain + REWEIGHT", "retrain", True),
    ("MIU + REWEIGHT", "miu", True),
    ("MIU", "miu", False),
    ("gradient ascent", "gradient_ascent", False),
)


@dataclass(frozen=True)
class Problem:
    """One seed's data and pretrained model."""

    seed: int
    source: BatchSource
    data: UnlearningData
    base: Classifier
    runtime: Callable[[], Runtime]


def prepare(seed: int, ratio: float, device: torch.device, trained: dict[str, torch.Tensor] | None = None) -> Problem:
    """Data, forget set and pretrained model of one seed; ``trained`` weights stand in for training."""
    dataset = photodigits(PhotoDigitsOptions(seed=seed))
    source = BatchSource(dataset, device)
    gone = set(sample_forget(dataset.frame, groups=[RARE], ratio=ratio, seed=seed))
    train = dataset.rows("train")
    is_gone = dataset.frame["id"].isin(gone).to_numpy()[train]
    data = UnlearningData(source, train[~is_gone], train[is_gone], dataset.rows("val"))

    def runtime() -> Runtime:
        """A fresh runtime, so that counters start at zero."""
        return Runtime(device, seed, choose_precision("auto", device))

    header = dataset.header
    spec = ModelSpec("small_resnet", 2, header.image_size, header.mean, header.std, header.class_names)
    model = build(spec, derive_seed(seed, "init"))
    place(model, device)
    if trained is not None:
        model.load_state_dict(trained)
        return Problem(seed, source, data, model.eval(), runtime)
    return Problem(seed, source, data, fit(model, source, train, data.val, TrainConfig(), runtime()), runtime)


def predictions(problem: Problem, model: Classifier) -> Predictions:
    """One forward pass, under the request."""
    frame = problem.source.dataset.frame
    names = [f"s{i:05d}" for i in range(len(frame))]
    header = problem.source.dataset.header
    gone = frozenset(names[i] for i in problem.data.forget)
    outputs = forward(model, problem.source, problem.runtime(), names)
    return with_request(outputs, gone, header.class_names, header.attribute_names)


def run_seed(seed: int, ratio: float, device: torch.device) -> dict[str, tuple[dict[str, float], float]]:
    """Numbers and seconds of every variant of one seed."""
    problem = prepare(seed, ratio, device)
    made: dict[str, tuple[Predictions, float]] = {"pretrain": (predictions(problem, problem.base), 0.0)}
    for name, method, weighted in VARIANTS:
        data = problem.data.reweighted() if weighted else problem.data
        start = time.perf_counter()
        chosen = methods.get(method)
        model = unlearn(chosen, problem.base, data, chosen.config(), problem.runtime())
        made[name] = predictions(problem, model), time.perf_counter() - start
    reference = AuditedModel(ModelRef("retrain + REWEIGHT", "", reweight=True), made["retrain + REWEIGHT"][0])
    context = AuditContext(DataRecord("", {}), ForgetRecord(0, "", (RARE,)))
    result = {}
    for name, (outputs, seconds) in made.items():
        inputs = AuditInputs(AuditedModel(ModelRef(name, ""), outputs), references=(reference,))
        audit = measure(inputs, context, MeasureOptions(seed=seed))
        result[name] = numbers(audit), seconds
    return result


def numbers(audit: Audit) -> dict[str, float]:
    """The metrics of the table."""
    found = {name: audit.metric(name) for name in METRICS}
    return {name: value.value for name, value in found.items() if value is not None and value.value is not None}


def table(results: Sequence[dict[str, tuple[dict[str, float], float]]]) -> list[str]:
    """Markdown rows: mean (standard deviation) over seeds, in per cent."""
    lines = ["| | " + " | ".join(f"{m} %" for m in METRICS) + " | seconds |", "|---|" + "---:|" * (len(METRICS) + 1)]
    for name in results[0]:
        cells = []
        for metric in METRICS:
            values = np.array([r[name][0][metric] for r in results if metric in r[name][0]])
            cells.append(f"{100 * values.mean():.1f} ({100 * values.std(ddof=1):.1f})" if len(values) > 1 else "undefined")
        cells.append(f"{np.mean([r[name][1] for r in results]):.1f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def claim(text: str, differences: Sequence[float]) -> str:
    """One claim with mean, spread and sign count of its per-seed differences; it holds when the mean passes 2 standard errors."""
    values = 100 * np.array(differences)
    error = values.std(ddof=1) / np.sqrt(len(values))
    holds = "holds" if values.mean() > 2 * error else "points this way" if values.mean() > 0 else "does not hold"
    return (
        f"- {text}: **{holds}**; mean difference {values.mean():+.1f} points, sd {values.std(ddof=1):.1f} over seeds, "
        f"standard error {error:.1f}, in {int((values > 0).sum())} of {len(values)} seeds"
    )


def claims(results: Sequence[dict[str, tuple[dict[str, float], float]]]) -> list[str]:
    """The effect that the seed paper describes, tested per seed."""

    def get(name: str, metric: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([r[name][0][metric] for r in results])

    return [
        claim("GA drops from pretrain to plain retrain", list(get("pretrain", "GA") - get("retrain", "GA"))),
        claim("REWEIGHT wins back part of it", list(get("retrain + REWEIGHT", "GA") - get("retrain", "GA"))),
        claim(
            "MIU + REWEIGHT is nearer to retrain + REWEIGHT (AVG_GAP) than gradient ascent",
            list(get("MIU + REWEIGHT", "AVG_GAP") - get("gradient ascent", "AVG_GAP")),
        ),
    ]


def main() -> None:
    """Run all seeds and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    device = choose_device(options.device)
    results = []
    for seed in range(options.seeds):
        results.append(run_seed(seed, options.ratio, device))
        sys.stderr.write(f"seed {seed + 1}/{options.seeds} done\n")
    facts = hardware(device)
    page = [
        "# Does PhotoDigits show the effect?",
        "",
        "Generated by `make bench` (`benchmarks/pages/effect.py`); do not edit.",
        "",
        f"PhotoDigits with correlation 0.85; forget set: {options.ratio:g} of the group digit 5-9 on the temple photograph",
        f"(rare in training). Mean (standard deviation) over {options.seeds} seeds: each draws its own data, forget set and",
        "initial weights. Test split: 497 digits, each drawn 4 times. AVG_GAP is against retrain + REWEIGHT of the same seed,",
        "which is therefore 100.",
        f"grmu-audit {__version__}, torch {facts['torch']}, {facts['device']}, {facts['threads']} threads.",
        "",
        *table(results),
        "",
        "A claim holds when the mean of its per-seed differences is above 0 by more than two standard errors.",
        "",
        *claims(results),
        "",
    ]
    text = "\n".join(page)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
