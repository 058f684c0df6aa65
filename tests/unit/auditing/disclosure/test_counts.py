"""Counts of answers: what they hold and leave out, and that a file which cannot be counts of the audit is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.measured_audits import measured
from support.random_predictions import made

from grmu_audit.auditing.disclosure.counts import MOST_OF_A_MODEL, Counts, as_predictions, count_answers, is_left_out, read_counts
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.records import SPLITS, AuditedModel, AuditInputs, ModelRef, Predictions

SUBJECTS = {"candidate": False, "baseline": False}


def pair(seed: int = 0, n: int = 300) -> tuple[Predictions, Predictions]:
    """A model and the one before it, on the same samples."""
    first = made(n, seed=seed)
    moved = np.random.default_rng(seed + 1).random(n) < 0.2
    return first, replace(first, prediction=np.where(moved, 1 - first.prediction, first.prediction))


def counted(first: Predictions, other: Predictions) -> Counts:
    models = [AuditedModel(ModelRef("m", str(number)), table) for number, table in enumerate((first, other))]
    return count_answers(AuditInputs(models[0], models[1]), {"predictions/candidate.parquet": "0" * 64})


def test_every_sample_is_counted_once_and_the_file_reads_back() -> None:
    first, other = pair()
    counts = counted(first, other)
    for table in counts.tables.values():
        assert {split: int(rows[:, -1].sum()) for split, rows in table.items()} == {s: int(first.mask(s).sum()) for s in SPLITS}
    read = read_counts(json.loads(counts.to_json()), SUBJECTS)
    assert read.to_json() == counts.to_json()
    rows = counts.tables["baseline"]["test"]
    test = first.mask("test")
    cell = (first.target == 1) & (first.attribute == 0) & (first.prediction == 1) & (other.prediction == 0) & test
    assert [1, 0, 1, 0, int(cell.sum())] in rows.tolist()


def test_rows_made_from_counts_have_these_counts_again() -> None:
    first, other = pair(3)
    counts = counted(first, other)
    groups = measured(first, other).data.groups
    for subject, table in (("candidate", first), ("baseline", other)):
        ours, theirs = as_predictions(counts, subject, groups)
        assert [int(x.mask(split).sum()) for x in (ours, theirs) for split in SPLITS] == [
            int(first.mask(split).sum()) for _ in range(2) for split in SPLITS
        ]
        for split in SPLITS:
            assert int(theirs.correct[theirs.mask(split)].sum()) == int(table.correct[table.mask(split)].sum())


def test_forget_rows_of_a_group_with_fewer_than_five_are_not_told_by_group() -> None:
    first, other = pair(5, 400)
    rows = np.flatnonzero(first.mask("forget") & (first.group == 0))
    split = first.split.copy()
    split[rows[3:]] = SPLITS.index("retain")
    first, other = (replace(table, split=split) for table in (first, other))
    found = counted(first, other).tables["candidate"]["forget"]
    assert [0, 0] not in found[:, :2].tolist()
    assert found[found[:, 0] == -1][:, -1].sum() == 3
    assert all(row[:2] == [-1, -1] for row in counted(first, other).tables["candidate"]["val"].tolist())


def test_what_has_one_entry_a_sample_is_left_out() -> None:
    names = ("predictions/root.parquet", "rows_read.json", "rows_read-reference-2.json", "audit.json", "page.json")
    assert list(map(is_left_out, names)) == [True, True, True, False, False]


def one_more_model(tree: dict[str, Any]) -> None:
    tree["tables"]["root"] = tree["tables"]["baseline"]


def one_split_less(tree: dict[str, Any]) -> None:
    del tree["tables"]["baseline"]["val"]


def unknown_class(tree: dict[str, Any]) -> None:
    tree["tables"]["candidate"]["test"][0][2] = 2


def unknown_group(tree: dict[str, Any]) -> None:
    tree["tables"]["candidate"]["test"][0][1] = 7


def group_not_told_in_test(tree: dict[str, Any]) -> None:
    tree["tables"]["candidate"]["test"][0][:2] = [None, None]


def nobody(tree: dict[str, Any]) -> None:
    tree["tables"]["candidate"]["test"][0][-1] = 0


def twice(tree: dict[str, Any]) -> None:
    tree["tables"]["candidate"]["test"].append(tree["tables"]["candidate"]["test"][0])


def too_many(tree: dict[str, Any]) -> None:
    tree["tables"]["candidate"]["test"][0][-1] = MOST_OF_A_MODEL


def other_samples(tree: dict[str, Any]) -> None:
    tree["tables"]["baseline"]["test"][0][-1] += 1


def a_text(tree: dict[str, Any]) -> None:
    tree["tables"]["candidate"]["test"][0][-1] = "4"


def a_negative_count(tree: dict[str, Any]) -> None:
    tree["tables"]["candidate"]["test"][0][-1] = -4


def a_truth_value(tree: dict[str, Any]) -> None:
    tree["classes"] = True


def a_column_too_few(tree: dict[str, Any]) -> None:
    del tree["tables"]["baseline"]["test"][0][3]


def half_a_group(tree: dict[str, Any]) -> None:
    tree["tables"]["candidate"]["val"][0][:2] = [None, 0]


def another_schema(tree: dict[str, Any]) -> None:
    tree["schema"] = "grmu-audit/counts/v9"


def one_class(tree: dict[str, Any]) -> None:
    tree["classes"] = 1


def many_classes(tree: dict[str, Any]) -> None:
    tree["classes"] = 10**12


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (one_more_model, "the tables are not those of candidate, baseline"),
        (one_split_less, "the tables are not those of"),
        (unknown_class, "candidate, test: a row names a group or an answer that there is not"),
        (unknown_group, "candidate, test: a row names a group"),
        (group_not_told_in_test, "candidate, test: a row names a group"),
        (nobody, "candidate, test: a row has the count 0, or occurs twice"),
        (twice, "occurs twice"),
        (too_many, "at most 20,000,000 are read, and 4,000,000 of a model"),
        (other_samples, "baseline, test: the candidate's answers are not those of its own table"),
        (a_text, "cannot be read: TypeError"),
        (a_negative_count, "cannot be read: TypeError"),
        (a_truth_value, "cannot be read: TypeError"),
        (another_schema, "cannot be read: ValueError"),
        (a_column_too_few, "cannot be read: ValueError"),
        (half_a_group, "cannot be read: ValueError"),
        (one_class, "1 classes"),
        (many_classes, "1000000000000 classes"),
    ],
)
def test_what_cannot_be_counts_of_the_audit_is_refused(edit: Callable[[dict[str, Any]], None], words: str) -> None:
    tree = json.loads(counted(*pair()).to_json())
    edit(tree)
    with pytest.raises(IntegrityError, match=words):
        read_counts(tree, SUBJECTS)


@pytest.mark.parametrize("kept", [None, "retain", "forget", "val"])
def test_of_a_purged_version_test_rows_alone_are_left(kept: str | None) -> None:
    tree, purged = json.loads(counted(*pair()).to_json()), {"candidate": False, "baseline": True}
    for split in {"retain", "forget", "val"} - {kept}:
        tree["tables"]["baseline"][split] = []
    if kept is None:
        assert read_counts(tree, purged).tables["baseline"]["test"].tolist() == tree["tables"]["baseline"]["test"]
    else:
        with pytest.raises(IntegrityError, match=f"baseline, {kept}: test rows alone are left of a purged version"):
            read_counts(tree, purged)


@pytest.mark.parametrize("tree", [[], None, {}, {"schema": "grmu-audit/counts/v1"}, {"tables": 3}])
def test_another_document_is_refused(tree: object) -> None:
    with pytest.raises(IntegrityError, match=r"counts\.json cannot be read"):
        read_counts(tree, SUBJECTS)


def test_more_rows_than_counts_may_stand_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grmu_audit.auditing.disclosure.counts.MOST_ROWS", 599)
    with pytest.raises(InputError, match="the audit has 600 rows of predictions"):
        counted(*pair())


def test_hidden_forget_rows_that_the_group_table_does_not_have_are_a_finding() -> None:
    first, other = pair(5, 400)
    rows = np.flatnonzero(first.mask("forget") & (first.group == 0))
    split = first.split.copy()
    split[rows[3:]] = SPLITS.index("retain")
    first, other = (replace(table, split=split) for table in (first, other))
    with pytest.raises(IntegrityError, match="small groups are not those of the audit's group table"):
        as_predictions(counted(first, other), "candidate", ())
