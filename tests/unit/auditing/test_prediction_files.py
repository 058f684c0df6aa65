"""The light path: prediction files, assembling an audit, judging it again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.measured_audits import measured, model

from grmu_audit.auditing.audit_files import read_audit, write_audit
from grmu_audit.auditing.measurement import measure
from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.auditing.scoring import PredictionFiles, score
from grmu_audit.errors import InputError
from grmu_audit.policy import Policy, load_named
from grmu_audit.policy.judgement import judge
from grmu_audit.records import (
    CANDIDATE,
    SPLITS,
    AuditContext,
    AuditInputs,
    DataRecord,
    Decision,
    ForgetRecord,
    Group,
    Predictions,
    reference,
)
from grmu_audit.utils.clock import now

GOLDEN = Path(__file__).parents[2] / "golden"


def table(n=120, seed=0, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": [f"person-{i:04d}" for i in range(n)], "split": rng.choice(SPLITS, n, p=[0.5, 0.1, 0.1, 0.3])})
    frame["target"], frame["attribute"] = rng.integers(0, 2, n), rng.integers(0, 2, n)
    scores = np.stack([np.zeros(n), rng.normal(size=n) + frame["target"] - 0.5], axis=1)
    frame["logit_0"], frame["logit_1"] = scores[:, 0], scores[:, 1]
    return frame.assign(**columns)


def written(tmp_path: Path, frame: pd.DataFrame, name: str = "p.csv") -> Path:
    frame.to_csv(tmp_path / name, index=False)
    return tmp_path / name


def test_logits_probabilities_and_labels_are_read(tmp_path):
    frame = table()
    p = read_predictions(written(tmp_path, frame))
    prob = np.exp(frame[["logit_0", "logit_1"]].to_numpy())
    prob /= prob.sum(axis=1, keepdims=True)
    q = read_predictions(
        written(tmp_path, frame.drop(columns=["logit_0", "logit_1"]).assign(prob_0=prob[:, 0], prob_1=prob[:, 1]))
    )
    r = read_predictions(written(tmp_path, frame.drop(columns=["logit_0", "logit_1"]).assign(prediction=p.prediction)))
    assert (p.classes, p.attributes, len(p)) == (2, 2, 120)
    assert np.array_equal(p.prediction, (frame["logit_1"] > 0).astype(int))
    assert np.exp(q.logits) == pytest.approx(prob)
    assert r.logits is None
    assert np.array_equal(p.prediction, q.prediction)
    assert np.array_equal(p.prediction, r.prediction)
    assert [SPLITS[c] for c in p.split] == frame["split"].tolist()


def test_ga_of_a_tie_is_the_same_from_a_prediction_file_and_from_a_manifest(tmp_path):
    """Two groups with 6 forget samples each: the registry path takes its groups from the manifest's group table."""
    from grmu_audit.data.forget import composition, request_groups
    from grmu_audit.records import Splits

    frame = table(400, seed=3)
    groups = frame["target"] * 2 + frame["attribute"]
    frame.loc[frame["split"] == "forget", "split"] = "retain"
    for group in (1, 2):
        frame.loc[frame.index[(groups == group) & (frame["split"] == "retain")][:6], "split"] = "forget"
    scored = score(written(tmp_path, frame))
    manifest = frame.assign(split=frame["split"].replace({"retain": "train", "forget": "train"}))
    parts = Splits(**{split: tuple(np.flatnonzero(frame["split"] == split).tolist()) for split in SPLITS})
    dominant = request_groups(composition(manifest, parts, ["no", "yes"], ["f", "m"]))
    predictions = read_predictions(tmp_path / "p.csv")
    registered = measured(predictions, forget=ForgetRecord(12, "hmac-sha256:x", dominant))
    assert scored.forget.dominant_groups == dominant == (Group(0, 1), Group(1, 0))
    assert scored.metric("GA").value == registered.metric("GA").value
    of_one = measured(predictions, forget=ForgetRecord(12, "hmac-sha256:x", dominant[:1]))
    assert of_one.metric("GA").value != scored.metric("GA").value


def test_several_attributes_are_crossed_and_subjects_are_numbered(tmp_path):
    frame = (
        table()
        .rename(columns={"attribute": "attribute_age"})
        .assign(attribute_sex=np.arange(120) % 3, subject=[f"x{i // 2}" for i in range(120)])
    )
    p = read_predictions(written(tmp_path, frame))
    assert p.attributes == 6
    assert p.attribute_names[5] == "age=1, sex=2"
    assert np.array_equal(p.attribute, frame["attribute_age"] * 3 + frame["attribute_sex"])
    assert np.array_equal(p.subject, np.arange(120) // 2)


def test_ids_that_look_like_numbers_stay_text(tmp_path):
    frame = table(3, id=["007", "7", "7.0"], split=["test"] * 3)
    assert read_predictions(written(tmp_path, frame)).ids.tolist() == ["007", "7", "7.0"]


@pytest.mark.parametrize("column", ["target", "attribute_sex", "logit_0", "note"])
def test_a_column_that_stands_twice_is_refused(tmp_path, column):
    frame = table().rename(columns={"attribute": "attribute_sex"}).assign(note="x")
    twice = pd.concat([frame, frame[[column]]], axis=1)
    arrays = [pa.array(twice.iloc[:, i]) for i in range(twice.shape[1])]
    pq.write_table(pa.Table.from_arrays(arrays, names=list(twice.columns)), tmp_path / "p.parquet")
    for path in (written(tmp_path, twice), tmp_path / "p.parquet"):
        with pytest.raises(InputError, match=f"column '{column}' stands twice in the header"):
            score(path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_ids_and_subjects_that_other_programs_write_for_missing_ones_are_text(tmp_path, suffix):
    odd = ["NA", "null", "nan", "None", "N/A", "-"]
    frame = table(6, id=odd, split=["test"] * 6, subject=[*odd[:5], "NA"])
    path = written(tmp_path, frame)
    if suffix == "parquet":
        path = tmp_path / "p.parquet"
        frame.to_parquet(path)
    p = read_predictions(path)
    assert p.ids.tolist() == odd
    assert p.subject.tolist() == [0, 1, 2, 3, 4, 0]


def test_a_row_of_too_few_cells_and_cells_between_semicolons_are_refused(tmp_path):
    lines = written(tmp_path, table(9)).read_text().splitlines()
    (tmp_path / "p.csv").write_text("\n".join([*lines[:4], lines[4].rsplit(",", 1)[0], *lines[5:]]))
    with pytest.raises(InputError, match="row 5 has 5 cells where 6 are expected"):
        read_predictions(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("\n".join(lines).replace(",", ";"))
    with pytest.raises(InputError, match="the cells are separated by semicolons"):
        read_predictions(tmp_path / "p.csv")


def test_csv_and_parquet_give_the_same_predictions(tmp_path):
    frame = table().assign(loss=0.25, attribute=lambda f: f["attribute"] == 1, embedding=[[1.0, 2.0]] * 120)
    frame.to_parquet(tmp_path / "p.parquet")
    narrow = frame.astype({"target": "int8", "logit_0": "float32", "logit_1": "float64", "split": "category"})
    narrow.to_parquet(tmp_path / "q.parquet")
    first = read_predictions(written(tmp_path, frame))
    for name in ("p.parquet", "q.parquet"):
        other = read_predictions(tmp_path / name)
        for part in ("ids", "split", "target", "attribute", "prediction", "logits", "loss"):
            assert np.array_equal(getattr(first, part), getattr(other, part)), part
    assert first.attributes == 2


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ("target", "Int64", "row 6: target is not a finite number (empty)"),
        ("attribute", "boolean", "row 6: attribute is not a finite number (empty)"),
        ("logit_1", "Float64", "row 6: logit_1 is not a finite number (empty)"),
        ("id", "string", "row 6: no id"),
        ("split", "string", "row 6: split is none of retain, forget, val, test (empty)"),
        ("subject", "string", "row 6: no subject"),
    ],
)
def test_a_missing_cell_of_a_nullable_column_is_refused_with_its_row(tmp_path, column, kind, message):
    frame = table(subject="x").astype({column: kind})
    frame.loc[5, column] = pd.NA
    frame.to_parquet(tmp_path / "p.parquet")
    with pytest.raises(InputError) as caught:
        read_predictions(tmp_path / "p.parquet")
    assert message in str(caught.value)


def test_a_small_parquet_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    ones = pa.array(np.zeros(1_000_000, dtype=np.int8))
    names = ["id", "split", "target", "attribute", *(f"logit_{i}" for i in range(97))]
    pq.write_table(pa.Table.from_arrays([ones] * 101, names=names), tmp_path / "p.parquet")
    with pytest.raises(InputError, match="1,000,000 rows of 101 columns are more than 100,000,000 cells"):
        read_predictions(tmp_path / "p.parquet")
    long = table(300, split="x" * 200_000)
    long.to_parquet(tmp_path / "p.parquet")
    assert (tmp_path / "p.parquet").stat().st_size < 50_000
    with pytest.raises(InputError, match="column 'split' holds a text of 200,000 characters"):
        read_predictions(tmp_path / "p.parquet")
    monkeypatch.setattr("grmu_audit.utils.tables.MOST_BYTES", 1 << 17)
    with pytest.raises(InputError, match=r"its columns unpacked are 2\d\d,\d{3} bytes"):
        read_predictions(tmp_path / "p.parquet")
    monkeypatch.setattr("grmu_audit.utils.tables.MOST_BYTES", 100)
    with pytest.raises(InputError, match=r"its columns are \d+,\d{3} bytes"):
        read_predictions(tmp_path / "p.parquet")


def test_every_defect_is_listed_with_its_row_and_never_an_id(tmp_path):
    frame = table().astype({"target": object, "attribute": object})
    frame.loc[3, "split"] = "tset"
    frame.loc[4, "target"] = 1.5
    frame.loc[5, "attribute"] = -1
    frame.loc[6, "logit_1"] = np.nan
    frame.loc[7, "logit_0"] = np.inf
    frame.loc[8, "id"] = "person-0000"
    frame.loc[9, "target"] = "cat"
    frame.loc[10, "target"] = 2
    with pytest.raises(InputError) as caught:
        read_predictions(written(tmp_path, frame))
    text = str(caught.value)
    wanted = {
        4: "split is none of",
        5: "target is not an index",
        6: "attribute is not an index",
        7: "logit_1 is not a finite number (empty)",
        8: "logit_0 is not a finite number (inf)",
        9: "an id that an earlier row has",
        10: "target is not a finite number",
        11: "target is no class of the 2 score columns",
    }
    for row, what in wanted.items():
        assert f"row {row}: {what}" in text
    assert "person-" not in text


def test_at_most_twenty_defects_are_listed(tmp_path):
    with pytest.raises(InputError) as caught:
        read_predictions(written(tmp_path, table(split=["x"] * 120)))
    assert str(caught.value).count("row ") == 20
    assert "others" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="split").rename(columns={"target": "taget"}), "no column 'target' (did you mean 'taget'?)"),
        (lambda f: f.drop(columns=["logit_0", "logit_1"]), "no columns 'logit_0..', 'prob_0..' or 'prediction'"),
        (lambda f: f.drop(columns="attribute"), "no column 'attribute'"),
        (lambda f: f.rename(columns={"logit_1": "logit_2"}), "have gaps: found [0, 2]"),
        (lambda f: f.drop(columns="logit_1"), "one column of scores only"),
        (
            lambda f: f.rename(columns={"logit_0": "prob_0", "logit_1": "prob_1"}).assign(prob_0=0.5, prob_1=0.6),
            "do not sum to 1",
        ),
        (
            lambda f: f.rename(columns={"logit_0": "prob_0", "logit_1": "prob_1"}).assign(prob_0=-0.5, prob_1=1.5),
            "outside [0, 1]",
        ),
        (lambda f: f.head(0), "no rows at all"),
    ],
)
def test_files_of_another_shape_are_refused(tmp_path, change, message):
    with pytest.raises(InputError) as caught:
        read_predictions(written(tmp_path, change(table())))
    assert message in str(caught.value)


def test_missing_and_odd_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"ends in \.csv or \.parquet"):
        read_predictions(tmp_path / "x.txt")
    for name in ("bad.parquet", "bad.csv"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00\x01" * 9)
        with pytest.raises(InputError):
            read_predictions(tmp_path / name)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="the file is empty: it needs a header line and rows"):
        read_predictions(tmp_path / "empty.csv")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    paths = [written(folder, table(400, seed=1, logit_1=table(400, seed=s)["logit_1"]), f"m{s}.csv") for s in range(4)]
    files = PredictionFiles(paths[0], paths[1], tuple(paths[2:]), name="mine")
    return score(files, load_named("default"), today=date(2026, 6, 1)), paths


def test_score_fills_every_part_of_the_audit(full):
    audit, _ = full
    subjects = {str(m.subject) for m in audit.metrics}
    assert subjects == {
        "candidate", "baseline", "reference#1", "reference#2", "candidate-baseline", "candidate-reference#1",
        "candidate-reference#2", "candidate-reference",
    }  # fmt: skip
    assert audit.subject.label == "mine"
    assert sum(audit.data.splits.values()) == 400
    assert len(audit.data.groups) == 4
    assert sum(g.forget for g in audit.data.groups) == audit.forget.count == audit.data.splits["forget"]
    assert audit.record["yardstick"] == ["reference#1", "reference#2"]
    first, second, mean = (audit.metric("TA", reference(number).as_change()).value for number in (1, 2, 0))
    assert mean == pytest.approx((first + second) / 2)
    assert {"data quality", "robustness"} <= {m.name for m in audit.not_measured}
    assert len(audit.verdict.rules) == len(load_named("default").rules)


def test_avg_gap_and_tow_follow_their_definitions(full):
    audit, _ = full

    def near(name, i):
        return 1 - abs(audit.metric(name).value - audit.metric(name, reference(i)).value)

    wanted = np.mean([np.mean([near(name, i) for name in ("RA", "UA", "TA", "MIA_PAPER", "EO", "GA")]) for i in (1, 2)])
    assert audit.metric("AVG_GAP").value == pytest.approx(wanted, abs=1e-9)
    assert audit.metric("TOW").value == pytest.approx(
        np.mean([near("RA", i) * near("UA", i) * near("TA", i) for i in (1, 2)]), abs=1e-9
    )
    assert set(audit.metric("AVG_GAP").details["per_reference"]) == {"candidate-reference#1", "candidate-reference#2"}


def test_the_audit_holds_no_id_and_reads_back(full, tmp_path):
    audit, _ = full
    write_audit(audit, tmp_path / "audit.json")
    text = (tmp_path / "audit.json").read_text()
    assert "person-" not in text
    assert read_audit(tmp_path / "audit.json") == audit
    assert "NaN" not in text


def test_judging_again_gives_the_same_verdict_and_another_policy_another(full, tmp_path):
    audit, _ = full
    write_audit(audit, tmp_path / "audit.json")
    again = read_audit(tmp_path / "audit.json")
    assert judge(again, load_named("default"), date(2026, 6, 1)).verdict == audit.verdict
    strict = Policy.model_validate(
        {"schema": "grmu-audit/policy/v1", "name": "s", "rules": [{"id": "a", "metric": "TA", "min": 1.0}]}
    )
    assert judge(again, strict).verdict.decision is Decision.BREACH
    assert replace(judge(again, strict), verdict=None) == replace(audit, verdict=None)


def test_references_with_reweight_are_the_yardstick(tmp_path):
    sides = [read_predictions(written(tmp_path, table(400, seed=1, logit_1=table(400, seed=s)["logit_1"]))) for s in range(3)]
    references = (model(sides[1]), model(sides[2], "2", reweight=True))
    audit = measure(AuditInputs(model(sides[0], "3"), references=references), AuditContext(DataRecord("d", {})))
    assert audit.record["yardstick"] == ["reference#2"]
    assert audit.metric("TA", reference(0).as_change()).value == audit.metric("TA", reference(2).as_change()).value
    assert audit.metric("TA", reference(0).as_change()).value != audit.metric("TA", reference(1).as_change()).value


def test_without_a_reference_closeness_is_undefined_with_a_reason():
    audit = score(GOLDEN / "group_without_positives.csv")
    for name in ("AVG_GAP", "TOW"):
        assert audit.metric(name).value is None
        assert audit.metric(name).why_missing == "no reference model was given"


def test_given_records_are_kept_and_names_are_used():
    p = read_predictions(GOLDEN / "group_without_positives.csv")
    named = replace(p, class_names=("no", "yes"), attribute_names=("a", "b"))
    forget = ForgetRecord(25, "hmac-sha256:1", (Group(1, 0),), {"ratio": 0.5})
    context = AuditContext(DataRecord("d", {}), forget, record={"created": "then", "tool": "t"})
    audit = measure(AuditInputs(model(named)), context)
    assert audit.forget == forget
    assert (audit.record["created"], audit.record["tool"]) == ("then", "t")
    assert [g.name for g in audit.data.groups] == ["no / a", "no / b", "yes / a", "yes / b"]
    assert audit.data.groups[3].test == 0


def test_files_of_other_samples_are_refused(tmp_path):
    one, other = written(tmp_path, table(), "a.csv"), written(tmp_path, table(60), "b.csv")
    with pytest.raises(InputError, match="120 and 60 rows"):
        score(PredictionFiles(one, other))


def test_damaged_audit_files_are_refused(tmp_path):
    for text, message in (
        ("{", "cannot be read as an audit file"),
        ('{"schema": "x"}', "not an audit file"),
        ('{"a": NaN}', "NaN is no number"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_audit(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_audit(tmp_path / "none.json")


def test_the_clock_can_be_fixed(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert now() == "1970-01-01T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH"):
        now()


def test_importing_and_using_the_light_path_loads_no_heavy_library(full, tmp_path):
    audit, _ = full
    write_audit(audit, tmp_path / "audit.json")
    code = (
        "import sys, json; import grmu_audit.auditing.scoring as j; first = sorted(sys.modules)\n"
        "from pathlib import Path; from grmu_audit.policy import load_named\n"
        "from grmu_audit.auditing.audit_files import read_audit\n"
        f"j.judge(read_audit(Path({str(tmp_path / 'audit.json')!r})), load_named('default'))\n"
        "print(json.dumps([first, sorted(sys.modules)]))"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    imported, used = (set(names) for names in json.loads(result.stdout))
    assert (
        not {"torch", "torchvision", "mlflow", "great_expectations", "safetensors", "sklearn", "scipy", "pandas", "pydantic"}
        & imported
    )
    assert not {"torch", "torchvision", "mlflow", "great_expectations", "safetensors", "sklearn", "scipy", "pandas"} & used


def test_two_hundred_thousand_samples_and_twenty_rules_are_fast():
    n, rng = 200_000, np.random.default_rng(0)
    target, attribute = rng.integers(0, 2, n), rng.integers(0, 2, n)
    logits = rng.normal(size=(n, 2)) + np.eye(2)[target]
    split = np.where(np.arange(n) < 160_000, 0, rng.integers(2, 4, n))
    split[:200] = 1
    p = Predictions(np.arange(n).astype(str), split, target, attribute, logits.argmax(axis=1), 2, 2, logits=logits)
    rules = [
        {"id": f"r{i}", "metric": m, "min": 0.0}
        for i, m in enumerate(["RA", "TA", "GA", "WG", "EO", "DP", "EP", "UA", "VA", "MIA_AUC"] * 2)
    ]
    policy = Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": rules})
    from grmu_audit.metrics.checked_predictions import facts
    from grmu_audit.metrics.measure import values_of
    from grmu_audit.metrics.membership.attacks import attacked

    audit = measured(read_predictions(GOLDEN / "group_without_positives.csv"))
    began = time.perf_counter()
    f = facts(p)
    values = values_of(f, attacked(f, forests=False), subject=CANDIDATE, confidence=0.95)
    verdict = judge(replace(audit, metrics=values), policy).verdict
    assert time.perf_counter() - began < 4.0  # about 0.5 s on a quiet machine
    assert verdict.decision is Decision.PASS
