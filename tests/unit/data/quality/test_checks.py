"""Every check is planted a failure; a report holds no sample id."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grmu_audit.data.catalog import DataSpec, load_dataset
from grmu_audit.data.dataset import Dataset, Header
from grmu_audit.data.forget import split_rows as make_splits
from grmu_audit.data.quality import check_quality, require_passed
from grmu_audit.data.quality.checks import check_rows
from grmu_audit.data.quality.engine import evaluate
from grmu_audit.data.quality.expectations import Expectation, Suite, in_set, known_outcome, not_empty, not_null, unique
from grmu_audit.data.quality.input_checks import QualityInputs
from grmu_audit.data.quality.tables import split_roles
from grmu_audit.errors import DataQualityError, ExitCode, InputError
from grmu_audit.records import DataCheckReport, ForgetRequest, Splits
from grmu_audit.unlearning.data import reweight

NAMES = {"class_names": ("land bird", "water bird"), "attribute_names": ("land", "water")}
PER_CELL = {"train": 12, "val": 4, "test": 8}


def manifest() -> pd.DataFrame:
    rows = [
        (f"secret-{split}-{t}{a}-{i:02d}", split, t, a, f"person-{split}-{i}")
        for split, n in PER_CELL.items()
        for t in (0, 1)
        for a in (0, 1)
        for i in range(n)
    ]
    return pd.DataFrame(rows, columns=["id", "split", "target", "attribute", "subject"])


def forget(n: int = 6, cell: str = "10") -> ForgetRequest:
    return ForgetRequest(tuple(f"secret-train-{cell}-{i:02d}" for i in range(n)), "hmac-sha256:0")


def run(
    frame: pd.DataFrame | None = None,
    request: ForgetRequest | None = None,
    minimum: int = 8,
    splits: Splits | None = None,
    **options,
) -> DataCheckReport:
    """The report on a manifest; ``splits`` are checked as they are instead of what follows from the request."""
    frame = manifest() if frame is None else frame
    inputs = QualityInputs(frame, **{**NAMES, "content": [f"h{i}" for i in range(len(frame))], **options})
    rows = split_roles(frame, request)
    if splits is not None:
        rows = {role: np.array(getattr(splits, role), dtype=np.int64) for role in rows}
    return check_rows(inputs, rows, request, minimum)


def failures(report: DataCheckReport) -> set[tuple[str, str]]:
    return {(r.part, r.expectation) for r in report.results if not r.passed}


def observed(report: DataCheckReport, part: str, words: str) -> str:
    return next(r.observed for r in report.results if (r.part, r.expectation) == (part, words))


def test_good_data_passes_every_check_and_says_which_engine_judged(capfd):
    report = run(request=forget())
    assert failures(report) == set()
    assert report.passed
    require_passed(report)
    assert report.engine.startswith("great_expectations 1.")
    assert {r.part for r in report.results} == {"all", "train", "retain", "forget", "val", "test"}
    assert report.results[0].expectation == "at least one row"
    assert capfd.readouterr() == ("", "")  # no progress bar, no notice


def test_without_a_request_the_dataset_alone_is_checked():
    report = run()
    require_passed(report)
    assert {r.part for r in report.results} == {"all", "train", "val", "test"}
    assert report.group_shift == ()


LABELS = {"target": "target is one of 0, 1", "attribute": "attribute is one of 0, 1"}
LAST = 4 * sum(PER_CELL.values()) - 1


def planted(*cells) -> DataCheckReport:
    """The report on the good manifest with these (row, column, value) put in."""
    frame = manifest().astype(object)
    for row, column, value in cells:
        frame.loc[row, column] = value
    return run(frame, forget())


def test_planted_gaps_fail_their_check_in_every_part():
    gaps = [(0, "id", None), (1, "split", None), (2, "target", None), (3, "attribute", float("nan"))]
    more = [(24, "target", None), (24, "attribute", None), (48, "target", None), (LAST, "attribute", None)]
    report = planted(*gaps, *more)
    expected = {
        ("all", "id is never missing"): "1 of 96 rows fail",
        ("all", "split is never missing"): "1 of 96 rows fail",
        ("all", "every row is in exactly one of retain, forget, val, test"): "1 of 96 rows fail",
        ("all", "target is never missing"): "3 of 96 rows fail",
        ("all", "attribute is never missing"): "3 of 96 rows fail",
        ("train", "target is never missing"): "2 of 47 rows fail",
        ("retain", "target is never missing"): "1 of 41 rows fail",
        ("retain", "attribute is never missing"): "1 of 41 rows fail",
        ("forget", "target is never missing"): "1 of 6 rows fail",
        ("forget", "attribute is never missing"): "1 of 6 rows fail",
        ("val", "target is never missing"): "1 of 16 rows fail",
        ("test", "attribute is never missing"): "1 of 32 rows fail",
    }
    assert expected.keys() <= failures(report)
    assert {check: observed(report, *check) for check in expected} == expected
    assert not report.passed


def test_planted_values_fail_their_check_in_every_part_and_are_shown():
    odd = [(0, "split", "dev"), (1, "target", "1"), (2, "attribute", -1), (24, "attribute", 9), (24, "target", 7)]
    report = planted(*odd, (48, "target", 3), (LAST, "attribute", 4))
    expected = {
        ("all", "split is one of train, val, test"): "1 of 96 rows fail: 'dev' (1)",
        ("all", "every row is in exactly one of retain, forget, val, test"): "1 of 96 rows fail",
        ("retain", LABELS["target"]): "1 of 41 rows fail: '1' (1)",
        ("retain", LABELS["attribute"]): "1 of 41 rows fail: -1 (1)",
        ("forget", LABELS["attribute"]): "1 of 6 rows fail: 9 (1)",
        ("forget", LABELS["target"]): "1 of 6 rows fail: 7 (1)",
        ("val", LABELS["target"]): "1 of 16 rows fail: 3 (1)",
        ("test", LABELS["attribute"]): "1 of 32 rows fail: 4 (1)",
    }
    assert expected.keys() | {("all", LABELS["target"]), ("train", LABELS["attribute"])} <= failures(report)
    assert {check: observed(report, *check) for check in expected} == expected
    assert not report.passed


def test_a_repeated_id_is_found_within_a_part_and_across_parts():
    within = planted((1, "id", "secret-train-00-00"))
    assert failures(within) == {("all", "id is unique")}
    assert observed(within, "all", "id is unique") == "2 of 96 rows fail"
    across = planted((LAST, "id", "secret-train-00-00"))
    assert failures(across) == {("all", "id is unique"), ("all", "an id is in one part only")}


@pytest.mark.parametrize("dtype", ["object", "str", "category", "string[pyarrow]"])
def test_string_types_of_pandas_make_no_difference(dtype):
    frame = manifest().astype({"id": dtype, "split": dtype})
    frame.loc[[0, 1], "id"] = frame["id"].iloc[2]
    assert failures(run(frame, forget())) == {("all", "id is unique")}


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_missing_part_fails_and_its_other_checks_are_not_evaluated(part):
    frame = manifest()
    report = run(frame[frame["split"] != part], forget() if part != "train" else None)
    mine = [r for r in report.results if r.part == part and "group" not in r.expectation]
    assert mine[0].expectation == "at least one row"
    assert mine[0].observed == "0 rows"
    assert not any(r.passed for r in mine)
    assert all(not r.evaluated and "no row" in r.observed for r in mine[1:])


def test_an_empty_manifest_fails_everything_that_is_an_error():
    report = run(manifest().iloc[:0], forget())
    assert not any(r.passed for r in report.results if r.expectation != "at least one group is declared")
    with pytest.raises(DataQualityError, match="all: expected: at least one row; found: 0 rows"):
        require_passed(report)


def test_a_column_without_any_value_does_not_pass_vacuously():
    frame = manifest()
    frame["target"] = None
    report = run(frame)
    assert ("all", LABELS["target"]) in failures(report)
    assert observed(report, "all", LABELS["target"]) == "not evaluated: all 96 values are missing"


def test_a_requested_evaluation_row_is_found_in_two_parts():
    erasure = ForgetRequest((*forget().ids, "secret-test-00-00"), "d")
    found = failures(run(request=erasure))
    assert {
        ("all", "every row is in exactly one of retain, forget, val, test"),
        ("all", "an id is in one part only"),
        ("forget", "split is train"),
    } <= found


def test_a_requested_id_that_does_not_exist_is_counted():
    report = run(request=ForgetRequest((*forget().ids, "secret-nobody"), "d"))
    assert failures(report) == {("forget", "one row for each requested id")}
    assert observed(report, "forget", "one row for each requested id") == "6 rows"


def good_splits() -> Splits:
    return make_splits(manifest(), forget())


@pytest.mark.parametrize(
    ("change", "part", "words"),
    [
        ({"retain": good_splits().retain[1:]}, "train", "retain and forget partition train"),
        ({"retain": good_splits().retain[1:]}, "all", "every row is in exactly one of retain, forget, val, test"),
        ({"retain": (*good_splits().retain, good_splits().forget[0])}, "train", "retain and forget partition train"),
        ({"retain": (*good_splits().retain, good_splits().test[0])}, "retain", "split is train"),
        ({"forget": good_splits().forget[1:]}, "forget", "one row for each requested id"),
        ({"val": (*good_splits().val, good_splits().retain[0])}, "val", "split is val"),
        ({"test": (*good_splits().test, good_splits().val[0])}, "test", "split is test"),
        ({"test": ()}, "test", "at least one row"),
    ],
)
def test_splits_that_are_wrong_are_found(change, part, words):
    assert (part, words) in failures(run(request=forget(), splits=dataclasses.replace(good_splits(), **change)))


def test_splits_that_are_right_pass():
    assert failures(run(request=forget(), splits=good_splits())) == set()


def test_train_rows_of_the_wrong_split_fail_the_train_part():
    frame = manifest()
    parts = dataclasses.replace(good_splits(), val=(), retain=(*good_splits().retain, *good_splits().val))
    assert {("retain", "split is train"), ("val", "at least one row")} <= failures(run(frame, forget(), splits=parts))


def test_content_that_comes_again_is_found_where_it_hurts():
    hashes = [f"h{i}" for i in range(96)]
    for source, target, expected in (
        (0, LAST, ("test", "no content of train again in test")),
        (24, LAST, ("test", "no content of train again in test")),
        (0, 48, ("val", "no content of train again in val")),
        (24, 0, ("forget", "no content of forget again in retain")),
    ):
        copied = list(hashes)
        copied[target] = copied[source]
        report = run(request=forget(), content=copied)
        assert failures(report) == {expected}
        assert report.passed == (expected[0] == "forget")  # in retain: a warning


def test_images_that_do_not_decode_and_subjects_that_come_again():
    assert failures(run(stated_size=np.ones(96, dtype=bool))) == set()
    report = run(stated_size=[True] * 95 + [False])
    assert failures(report) == {("all", "every image decodes to the stated size")}
    frame = manifest()
    frame.loc[LAST, "subject"] = frame.loc[0, "subject"]
    report = run(frame)
    assert failures(report) == {("test", "no subject of train again in test")}
    assert report.passed
    frame.loc[48, "subject"] = frame.loc[0, "subject"]
    assert ("val", "no subject of train again in val") in failures(run(frame))


def test_a_group_that_is_small_or_absent_in_test_is_named():
    frame = manifest()
    rare = (frame["split"] == "test") & (frame["target"] == 1) & (frame["attribute"] == 0)
    words = "every group of train has at least 8 test samples"
    report = run(frame.drop(index=frame[rare].index[0]))
    assert failures(report) == {("test", words)}
    assert observed(report, "test", words) == "1 of 4 groups fail: 'water bird / land': 7"
    assert observed(run(frame[~rare]), "test", words).endswith("'water bird / land': 0")
    with pytest.raises(DataQualityError) as caught:
        require_passed(report)
    assert "'water bird / land': 7; to do: add test samples" in str(caught.value)
    assert caught.value.exit_code == ExitCode.DATA_QUALITY


def test_a_group_that_the_request_empties_fails_and_has_no_weight():
    report = run(request=forget(12))
    assert {("retain", "every group of train keeps at least one sample"), ("retain", "no REWEIGHT weight above 5")} == failures(
        report
    )
    assert not report.passed
    assert report.group_shift[2]["weight"] == "undefined"
    json.dumps(report.group_shift, allow_nan=False)


def test_a_declared_group_that_never_occurs_is_a_warning():
    report = run(attribute_names=("land", "water", "sky"))
    words = "every declared group has training samples"
    assert ("train", words) in failures(report)
    assert "'land bird / sky': 0" in observed(report, "train", words)
    assert report.passed


def test_no_declared_group_at_all_fails():
    report = run(class_names=())
    assert {("all", "at least one group is declared"), ("train", "at least one group has samples")} <= failures(report)
    assert not report.passed


def test_the_shift_of_the_group_mix_has_the_weights_of_reweight():
    request = forget(10)
    report = run(request=request)
    frame, rows = manifest(), split_roles(manifest(), request)
    group = (2 * frame["target"] + frame["attribute"]).to_numpy()
    retain = group[rows["retain"]]
    sampled = dict(zip(retain.tolist(), reweight(retain, group[rows["forget"]]).tolist(), strict=True))
    assert [row["weight"] for row in report.group_shift] == [sampled[code] for code in range(4)] == [1.0, 1.0, 6.0, 1.0]
    assert report.group_shift[2]["share_before"] == 0.25
    assert report.group_shift[2]["share_after"] == pytest.approx(2 / 38)
    assert sum(row["share_after"] for row in report.group_shift) == pytest.approx(1.0)
    assert failures(report) == {("retain", "no REWEIGHT weight above 5")}
    assert observed(report, "retain", "no REWEIGHT weight above 5") == "1 of 4 groups fail: 'water bird / land': 6"
    assert report.passed


def test_the_digest_follows_the_questions():
    first = run(request=forget())
    assert first.suite_sha256 == run(request=forget(cell="00")).suite_sha256
    assert first.suite_sha256 != run(request=forget(), minimum=9).suite_sha256
    assert first.suite_sha256 != run(request=forget(5)).suite_sha256


def test_no_sample_id_is_in_a_report_or_a_message_whatever_fails():
    frame = manifest()
    frame["split"] = frame["split"].astype(object)
    frame.loc[1, "id"] = frame.loc[0, "id"]
    frame.loc[LAST, "id"] = frame.loc[0, "id"]
    frame.loc[2, "split"] = "dev"
    erasure = ForgetRequest((*forget().ids, "secret-nobody", "secret-test-00-00"), "d")
    report = run(frame, erasure, content=["same"] * 96, stated_size=[False] * 96)
    with pytest.raises(DataQualityError) as caught:
        require_passed(report)
    assert len(failures(report)) > 8
    assert "secret" not in str(dataclasses.asdict(report)) + str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"content": ["x"]}, "1 content hashes for 96 rows"),
        ({"content": [""] * 96}, "empty one"),
        ({"stated_size": [True]}, "1 size flags for 96 rows"),
        ({"minimum": 0}, "minimum_group_size is 0"),
    ],
)
def test_arguments_that_cannot_be_used_are_input_errors(options, message):
    with pytest.raises(InputError, match=message):
        run(**options)


def test_every_missing_column_of_a_manifest_is_named():
    dataset = load_dataset(DataSpec("photodigits", {"renders": 1}))
    with pytest.raises(InputError, match="no column 'split', 'target'"):
        check_quality(dataclasses.replace(dataset, frame=dataset.frame.drop(columns=["split", "target"])), None, 1)


def test_require_refuses_a_report_without_results():
    with pytest.raises(DataQualityError, match="no data-quality check was evaluated"):
        require_passed(DataCheckReport(results=(), engine="", suite_sha256=""))


def test_the_engine_never_passes_what_it_did_not_evaluate():
    table = pd.DataFrame({"a": [1, 2], "empty": pd.Series([None, None], dtype=object)})
    lost = [
        in_set("all", "nowhere", (1,), "-"),
        unique("all", "empty", "-"),
        in_set("all", "empty", (1,), "-"),
        Expectation("all", "unheard of", "ExpectTableRowCountToBeBetween", {"min_value": 5, "max_value": 1}, "-"),
    ]
    results, _ = evaluate({"t": table}, [Suite("t", tuple(lost[:3])), Suite("t", tuple(lost[3:]))])
    assert [(r.passed, r.evaluated) for r in results] == [(False, False)] * 4
    broken, _ = evaluate({"t": table}, [Suite("t", (Expectation("all", "x", "ExpectNothingKnown", {}, "-"),))])
    assert (broken[0].passed, broken[0].observed) == (False, "not evaluated: the engine raised AttributeError")


def test_the_engine_keeps_the_order_of_the_suite():
    table = pd.DataFrame({"a": [1, 1, None]}, dtype=object)
    erasure = (
        not_empty("all", "-"),
        not_null("all", "a"),
        unique("all", "a", "-"),
        in_set("all", "a", (1,), "-"),
        known_outcome("all", "one", "a", 1, "-"),
    )
    results, _ = evaluate({"t": table}, [Suite("t", erasure)])
    assert [r.expectation for r in results] == [e.words for e in erasure]
    assert [r.passed for r in results] == [
        True,
        False,
        False,
        False,
        False,
    ]  # a missing value does not pass for a member of a set


def test_importing_the_package_does_not_load_the_engine_and_checking_makes_no_connection():
    code = """
import socket, sys
import grmu_audit.data.quality
assert "great_expectations" not in sys.modules
def refuse(*arguments, **options):
    raise AssertionError("a connection was tried")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import os, numpy as np, pandas as pd
from grmu_audit.data.dataset import Dataset, Header
frame = pd.DataFrame({"id": ["a", "b", "c"], "split": ["train", "val", "test"], "target": 0, "attribute": 0})
header = Header("three", "1", ("x",), ("y",), kind="table", features=("f",))
report = grmu_audit.data.quality.check_quality(Dataset(header, frame, np.arange(3.0).reshape(3, 1)), None, 1)
assert report.passed, report
assert os.environ["GX_ANALYTICS_ENABLED"] == "False"
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_people_are_compared_where_the_data_says_who_they_are():
    parts = {(r.part, r.expectation) for r in run().results if "no subject of" in r.expectation}
    assert parts == {
        ("val", "no subject of train again in val"),
        ("test", "no subject of train again in test"),
        ("test", "no subject of val again in test"),
    }
    nameless = run(manifest().drop(columns="subject"))
    assert [r for r in nameless.results if "subject" in r.expectation] == []
    assert nameless.passed


def test_near_copies_are_counted_for_images_of_three_channels_alone():
    grey = np.zeros((3, 1, 32, 32), dtype=np.uint8)
    frame = pd.DataFrame({"id": ["p", "q", "r"], "split": ["train", "val", "test"], "target": 0, "attribute": 0, "subject": 0})
    header = Header("x", "1", ("a", "b"), ("c",), image_size=(1, 32, 32), mean=(0.5,), std=(0.5,))
    assert QualityInputs.of(Dataset(header, frame, grey)).near_copies is None
    colour = Dataset(dataclasses.replace(header, image_size=(3, 32, 32)), frame, grey.repeat(3, axis=1))
    assert QualityInputs.of(colour).near_copies == [0, 1, 1]
