"""Which questions are asked, and what happens when one is answered badly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from grmu_audit.data.quality import tables
from grmu_audit.data.quality.engine import evaluate
from grmu_audit.data.quality.expectations import (
    Expectation,
    Suite,
    always,
    bounded,
    in_set,
    not_empty,
    not_null,
    row_count,
    suites_sha256,
    unique,
)
from grmu_audit.errors import DataQualityError, InputError
from grmu_audit.records import CheckResult, DataCheckReport, ForgetRequest, Splits

if TYPE_CHECKING:
    import pandas as pd

    from grmu_audit.data.dataset import Dataset

LARGEST_WEIGHT = 5.0
"""REWEIGHT weight above which a warning is given: few samples then stand for many."""
_SPLITS = ("train", "val", "test")


def check(
    frame: pd.DataFrame,
    request: ForgetRequest | None,
    *,
    class_names: Sequence[str],
    attribute_names: Sequence[str],
    content_hashes: Sequence[str] | None = None,
    image_shape_ok: Sequence[bool] | None = None,
    near_copies: Sequence[int] | None = None,
    excluded: Mapping[str, int] | None = None,
    unanswered: Mapping[str, str] | None = None,
    splits: Splits | None = None,
    minimum_group_size: int = 30,
    copies: str = "error",
) -> DataCheckReport:
    """Check a dataset, and a forget request where there is one.

    Per part (all, train, retain, forget, val, test): rows exist; ids unique and never missing; split, target and attribute in
    their sets; retain and forget partition train and are disjoint from val and test; no image of train again in val or test;
    every group of train in test with at least ``minimum_group_size`` samples and still in retain.  Warnings: an image that looks
    almost like one of train, a subject in two splits, a REWEIGHT weight above 5, samples without labels.
    A check that could not be evaluated has not passed.  The report holds counts, labels and group names, never a sample id.

    Args:
        frame: manifest with ``id``, ``split``, ``target``, ``attribute``, optionally ``subject``; n rows.
        request: the forget request, or None.
        class_names: names by class index; their number declares the classes.
        attribute_names: names by attribute index.
        content_hashes: [n] digest of each sample's decoded content; without it the look for copies is a warning that says so.
        image_shape_ok: [n] whether each sample could be decoded to the stated size.
        near_copies: [n] training samples that look almost the same as each sample (``data.images.near_duplicates``).
        excluded: samples that the reader left out, by the label that they lack or another reason: a warning.
        unanswered: questions that could not be put, with the reason: warnings that have not passed.
        splits: the splits that will be used, to be checked as they are; None to derive them from the request.
        minimum_group_size: samples that a group needs in test.
        copies: severity of content of train again in val or test: ``error`` for images; ``warning`` where different people can
            have the same content (rows of a table, short texts).

    Raises:
        InputError: a column is missing, or an argument is not one per row.
    """
    if not minimum_group_size >= 1:
        raise InputError(f"minimum_group_size is {minimum_group_size}: give a whole number from 1")
    tables.require_columns(frame)
    rows = tables.roles(frame, request, splits)
    manifest = tables.manifest_table(frame, rows, content_hashes, image_shape_ok, near_copies)
    groups = tables.group_table(manifest, rows, class_names, attribute_names)
    asked = _suites(request, len(class_names), len(attribute_names), set(manifest.columns), minimum_group_size, copies)
    parts = {split: manifest[manifest["split"] == split] for split in _SPLITS}
    parts |= {role: manifest.iloc[positions] for role, positions in rows.items()}
    named = {"all": manifest, **parts, "groups": groups, "train groups": groups[groups["train"] > 0]}
    results, engine = evaluate({name: table.reset_index(drop=True) for name, table in named.items()}, asked)
    return DataCheckReport(
        results=(*results, *_not_asked(content_hashes), *_left_out(excluded or {}), *_unanswered(unanswered or {})),
        engine=engine,
        suite_sha256=suites_sha256(asked),
        group_shift=tables.group_shift(groups) if request else (),
    )


def require(report: DataCheckReport) -> None:
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


def _suites(
    request: ForgetRequest | None, classes: int, attributes: int, columns: set[str], minimum_group_size: int, copies: str
) -> list[Suite]:
    def labels(part: str) -> list[Expectation]:
        return [*_labels(part, "target", classes), *_labels(part, "attribute", attributes)]

    suites = [Suite("all", (*_whole(columns), *labels("all")))]
    expected = {"train": "train", "val": "val", "test": "test"} | ({"retain": "train", "forget": "train"} if request else {})
    for part in ("train", "retain", "forget", "val", "test"):
        if part in expected:
            suites.append(Suite(part, (*_part(part, expected[part], columns, request, copies), *labels(part))))
    suites.append(Suite("train groups", tuple(_train_groups(request, minimum_group_size))))
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
    yield in_set("all", "split", _SPLITS, "correct 'split'")
    yield always("all", "every row is in exactly one of retain, forget, val, test", "parts", 1, "request training ids only")
    yield always("all", "an id is in one part only", "parts_of_id", 1, "remove the id from all parts but one")
    if "shape_ok" in columns:
        yield always(
            "all", "every image decodes to the stated size", "shape_ok", 1, "replace the damaged images, or correct the size"
        )


def _part(part: str, split: str, columns: set[str], request: ForgetRequest | None, copies: str) -> Iterator[Expectation]:
    yield not_empty(part, f"put samples into {part}")
    yield in_set(part, "split", (split,), f"take samples of the {split} split only")
    if part == "train":
        advice = "make the splits again from the manifest and the request"
        yield always(part, "retain and forget partition train", "training_parts", 1, advice)
    if part == "forget" and request:
        yield row_count(part, "one row for each requested id", len(request.forget_set), "run 'forget check'")
    if part == "forget" and "retain_copies" in columns:
        advice = "add the copies to the request, else the model goes on learning from them"
        yield always(part, "no content of forget again in retain", "retain_copies", 0, advice, "warning")
    if split != "train" and "train_copies" in columns:
        advice = f"remove the copies from train or from {part}"
        yield always(part, f"no content of train again in {part}", "train_copies", 0, advice, copies)
    if split != "train" and "near_copies" in columns:
        advice = f"look at them: if they show the same scene, remove them from train or from {part}"
        yield always(part, f"no near-duplicate of train in {part}", "near_copies", 0, advice, "warning")
    yield from _between_splits(part, split, columns)


def _between_splits(part: str, split: str, columns: set[str]) -> Iterator[Expectation]:
    """What should not be in two splits."""
    for other in ("train", "val") if split == "test" else ("train",) if split == "val" else ():
        if f"{other}_subject" in columns:
            advice = f"keep each subject in one split, else {part} is easier than new subjects are"
            yield always(part, f"no subject of {other} again in {part}", f"{other}_subject", 0, advice, "warning")
    if split == "test" and "val_copies" in columns:
        advice = "remove the copies from val or from test: the chosen epoch has seen them"
        yield always(part, "no content of val again in test", "val_copies", 0, advice, "warning")


def _train_groups(request: ForgetRequest | None, minimum: int) -> Iterator[Expectation]:
    yield not_empty("train", "correct the labels, or name all their values in the header", "at least one group has samples")
    advice = "add test samples of the group, or lower minimum_group_size knowing that small groups decide little"
    yield bounded("test", f"every group of train has at least {minimum} test samples", "test", (minimum, None), advice, "error")
    if request:
        advice = "shorten the request: a group without samples cannot be kept fair"
        yield bounded("retain", "every group of train keeps at least one sample", "retain", (1, None), advice, "error")
        words, advice = f"no REWEIGHT weight above {LARGEST_WEIGHT:g}", "expect memorised samples: few samples stand for many"
        yield bounded("retain", words, "weight", (None, LARGEST_WEIGHT), advice, "warning")


def _declared_groups() -> Iterator[Expectation]:
    yield not_empty("all", "name the classes and attribute values in the header", "at least one group is declared")
    advice = "nothing, where the combination cannot exist; else add samples"
    yield bounded("train", "every declared group has training samples", "train", (1, None), advice, "warning")


def _left_out(excluded: Mapping[str, int]) -> list[CheckResult]:
    """Samples that the reader left out, counted by the label that they lack or another reason."""
    words = "no sample is left out"
    counts = ", ".join(f"{column}: {count}" for column, count in excluded.items())
    observed = f"{sum(excluded.values())} samples left out ({counts})"
    advice = "fill in what is missing: whoever is left out is neither trained on nor protected by the audit"
    return [CheckResult("all", words, False, True, observed, "warning", advice)] if excluded else []


def _unanswered(questions: Mapping[str, str]) -> list[CheckResult]:
    """What could not be evaluated."""
    return [
        CheckResult("all", words, False, False, f"not evaluated: {why}", "warning", "look at the data yourself")
        for words, why in questions.items()
    ]


def _not_asked(content_hashes: Sequence[str] | None) -> list[CheckResult]:
    """What could not be asked is said, as a warning that has not passed."""
    if content_hashes is not None:
        return []
    words = "no content of train again in val or test"
    advice = "give the digest of each sample's decoded content"
    return [CheckResult("all", words, False, False, "not evaluated: no content digests were given", "warning", advice)]


def quality_report(dataset: Dataset, request: ForgetRequest | None, minimum: int) -> DataCheckReport:
    """All quality checks of a dataset, under a request where there is one.

    Args:
        dataset: what is checked.
        request: the forget request, or None.
        minimum: test samples that every group needs.
    """
    from grmu_audit.data.quality.input_checks import looks, near_copies, sizes_ok

    alike = near_copies(dataset)
    plain = {"no near-duplicate of train in val or test": "too many images look alike to compare all pairs"}
    return check(
        dataset.frame,
        request,
        class_names=dataset.header.class_names,
        attribute_names=dataset.header.attribute_names,
        content_hashes=dataset.content,
        image_shape_ok=sizes_ok(dataset),
        near_copies=alike,
        unanswered=plain if alike is None and looks(dataset) else None,
        excluded=dataset.excluded,
        minimum_group_size=minimum,
        copies="error" if dataset.header.kind == "image" else "warning",
    )
