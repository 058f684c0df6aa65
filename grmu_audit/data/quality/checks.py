"""Which checks are run, and what happens when one fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from grmu_audit.data.dataset import SPLITS, Dataset
from grmu_audit.data.quality.engine import evaluate
from grmu_audit.data.quality.expectations import (
    Expectation,
    Suite,
    bounded,
    in_set,
    known_outcome,
    not_empty,
    not_null,
    row_count,
    suites_sha256,
    unique,
)
from grmu_audit.data.quality.input_checks import QualityInputs
from grmu_audit.data.quality.tables import Rows, group_shift, group_table, manifest_table, split_roles
from grmu_audit.errors import DataQualityError, InputError
from grmu_audit.records import CheckResult, DataCheckReport, ForgetRequest

LARGEST_WEIGHT = 5.0
"""REWEIGHT weight above which a warning is given: few samples then represent many."""
MINIMUM_GROUP = 1
"""Test samples that every group needs before anything is trained; policies require more."""


def check_quality(dataset: Dataset, request: ForgetRequest | None, minimum: int) -> DataCheckReport:
    """Check a dataset, and a forget request where there is one.

    Per part (all, train, retain, forget, val, test): rows exist; ids unique and never missing; split, target and attribute in
    their sets; retain and forget partition train and are disjoint from val and test; no image of train again in val or test;
    every group of train in test with at least ``minimum`` samples and still in retain.  Warnings: an image that looks
    almost like one of train, a subject in two splits, a REWEIGHT weight above 5, samples without labels.
    A check that could not be evaluated has not passed.  The report holds counts, labels and group names, never a sample id.

    Args:
        dataset: what is checked.
        request: the forget request, or None.
        minimum: test samples that every group needs.

    Raises:
        InputError: a column is missing, ``minimum`` is below 1, or the inputs do not give one digest for each row.
    """
    inputs = QualityInputs.of(dataset)
    return check_rows(inputs, split_roles(inputs.frame, request), request, minimum)


def check_rows(inputs: QualityInputs, rows: Rows, request: ForgetRequest | None, minimum: int) -> DataCheckReport:
    """``check_quality`` with the row positions of each role as they are given."""
    if not minimum >= 1:
        raise InputError(f"minimum_group_size is {minimum}: give a whole number from 1")
    manifest = manifest_table(inputs, rows)
    groups = group_table(manifest, rows, inputs.class_names, inputs.attribute_names)
    suites = _suites(inputs, request, set(manifest.columns), minimum)
    parts = {split: manifest[manifest["split"] == split] for split in SPLITS}
    parts |= {role: manifest.iloc[positions] for role, positions in rows.items()}
    named = {"all": manifest, **parts, "groups": groups, "train groups": groups[groups["train"] > 0]}
    results, engine = evaluate({name: table.reset_index(drop=True) for name, table in named.items()}, suites)
    return DataCheckReport(
        results=(*results, *_report_left_out(inputs.excluded), *_report_unanswered(inputs.unanswered)),
        engine=engine,
        suite_sha256=suites_sha256(suites),
        group_shift=group_shift(groups) if request else (),
    )


def require_quality(dataset: Dataset, request: ForgetRequest | None) -> DataCheckReport:
    """``check_quality`` before anything is trained, where every check must pass.

    Raises:
        DataQualityError: one failed, each named with what was observed.
    """
    report = check_quality(dataset, request, MINIMUM_GROUP)
    require_passed(report)
    return report


def require_passed(report: DataCheckReport) -> None:
    """Return when every error-level check passed.

    Raises:
        DataQualityError: none was evaluated, or one failed; each with its part, what was observed, and what to do.
    """
    failed = [result for result in report.results if result.severity != "warning" and not result.passed]
    if report.passed and not failed:
        return
    lines = [
        f"  {r.part}: expected: {r.expectation}; found: {r.observed}; to do: {r.advice or 'correct the data'}" for r in failed
    ]
    head = f"{len(failed)} of {len(report.results)} data-quality checks failed, nothing was trained"
    raise DataQualityError("\n".join([head, *lines]) if failed else "no data-quality check was evaluated, nothing was trained")


def _suites(inputs: QualityInputs, request: ForgetRequest | None, columns: set[str], minimum: int) -> list[Suite]:
    def labels(part: str) -> list[Expectation]:
        """Targets and attributes of a part are known and among the declared ones."""
        return [
            *_labels(part, "target", len(inputs.class_names)),
            *_labels(part, "attribute", len(inputs.attribute_names)),
        ]

    suites = [Suite("all", (*_whole(columns), *labels("all")))]
    expected = {"train": "train", "val": "val", "test": "test"} | ({"retain": "train", "forget": "train"} if request else {})
    for part in ("train", "retain", "forget", "val", "test"):
        if part in expected:
            suites.append(Suite(part, (*_part(part, expected[part], columns, request, inputs.copies), *labels(part))))
    suites.append(Suite("train groups", tuple(_train_groups(request, minimum))))
    suites.append(Suite("groups", tuple(_declared_groups())))
    return suites


def _labels(part: str, column: str, count: int) -> list[Expectation]:
    advice = f"correct {column!r}, or name all its values in the header"
    return [not_null(part, column), in_set(part, column, range(count), advice)]


def _whole(columns: set[str]) -> Iterator[Expectation]:
    yield not_empty("all", "the manifest is empty: give a dataset with samples")
    yield not_null("all", "id")
    yield unique("all", "id", "give every sample an id of its own")
    yield not_null("all", "split")
    yield in_set("all", "split", SPLITS, "correct 'split'")
    yield known_outcome(
        "all", "every row is in exactly one of retain, forget, val, test", "parts", 1, "request training ids only"
    )
    yield known_outcome("all", "an id is in one part only", "parts_of_id", 1, "remove the id from all parts but one")
    if "shape_ok" in columns:
        yield known_outcome(
            "all", "every image decodes to the stated size", "shape_ok", 1, "replace the damaged images, or correct the size"
        )


def _part(part: str, split: str, columns: set[str], request: ForgetRequest | None, copies: str) -> Iterator[Expectation]:
    yield not_empty(part, f"put samples into {part}")
    yield in_set(part, "split", (split,), f"take samples of the {split} split only")
    if part == "train":
        advice = "create the splits again from the manifest and the request"
        yield known_outcome(part, "retain and forget partition train", "training_parts", 1, advice)
    if part == "forget" and request:
        yield row_count(part, "one row for each requested id", len(request.forget_set), "run 'forget check'")
    if part == "forget" and "retain_copies" in columns:
        advice = "add the copies to the request, else the model goes on learning from them"
        yield known_outcome(part, "no content of forget again in retain", "retain_copies", 0, advice, "warning")
    if split != "train" and "train_copies" in columns:
        advice = f"remove the copies from train or from {part}"
        yield known_outcome(part, f"no content of train again in {part}", "train_copies", 0, advice, copies)
    if split != "train" and "near_copies" in columns:
        advice = f"look at them: if they show the same scene, remove them from train or from {part}"
        yield known_outcome(part, f"no near-duplicate of train in {part}", "near_copies", 0, advice, "warning")
    yield from _between_splits(part, split, columns)


def _between_splits(part: str, split: str, columns: set[str]) -> Iterator[Expectation]:
    """Content that should not be in two splits."""
    for other in ("train", "val") if split == "test" else ("train",) if split == "val" else ():
        if f"{other}_subject" in columns:
            advice = f"keep each subject in one split, else {part} is easier than new subjects are"
            yield known_outcome(part, f"no subject of {other} again in {part}", f"{other}_subject", 0, advice, "warning")
    if split == "test" and "val_copies" in columns:
        advice = "remove the copies from val or from test: the chosen epoch has seen them"
        yield known_outcome(part, "no content of val again in test", "val_copies", 0, advice, "warning")


def _train_groups(request: ForgetRequest | None, minimum: int) -> Iterator[Expectation]:
    yield not_empty("train", "correct the labels, or name all their values in the header", "at least one group has samples")
    advice = "add test samples of the group, or lower minimum_group_size knowing that small groups decide little"
    yield bounded("test", f"every group of train has at least {minimum} test samples", "test", (minimum, None), advice, "error")
    if request:
        advice = "shorten the request: a group without samples cannot be kept fair"
        yield bounded("retain", "every group of train keeps at least one sample", "retain", (1, None), advice, "error")
        words, advice = f"no REWEIGHT weight above {LARGEST_WEIGHT:g}", "expect memorised samples: few samples represent many"
        yield bounded("retain", words, "weight", (None, LARGEST_WEIGHT), advice, "warning")


def _declared_groups() -> Iterator[Expectation]:
    yield not_empty("all", "name the classes and attribute values in the header", "at least one group is declared")
    advice = "nothing, where the combination cannot exist; else add samples"
    yield bounded("train", "every declared group has training samples", "train", (1, None), advice, "warning")


def _report_left_out(excluded: Mapping[str, int]) -> list[CheckResult]:
    """Samples that the reader left out, counted by the label that they lack or another reason."""
    words = "no sample is left out"
    counts = ", ".join(f"{column}: {count}" for column, count in excluded.items())
    observed = f"{sum(excluded.values())} samples left out ({counts})"
    advice = "fill in what is missing: samples that are left out are neither trained on nor covered by the audit"
    return [CheckResult("all", words, False, True, observed, "warning", advice)] if excluded else []


def _report_unanswered(questions: Mapping[str, str]) -> list[CheckResult]:
    """Expectations that could not be evaluated."""
    return [
        CheckResult("all", words, False, False, f"not evaluated: {why}", "warning", "look at the data yourself")
        for words, why in questions.items()
    ]
