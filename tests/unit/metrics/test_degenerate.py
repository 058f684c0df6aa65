"""Degenerate input: a stated "undefined" or exit 2, never a PASS on what is undefined, no warning, no traceback."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.measured_audits import measured

from grmu_audit.auditing.scoring import score
from grmu_audit.cli.app import execute
from grmu_audit.errors import InputError
from grmu_audit.metrics import measure_predictions
from grmu_audit.metrics.catalog import BUILT_IN
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.policy import Policy, evaluate
from grmu_audit.records import Decision

SPLITS = ["retain", "forget", "val", "test"]


def generous() -> Policy:
    """A rule on every metric that any defined value meets; groups of one sample are enough."""
    rules = []
    for spec in BUILT_IN.values():
        if not spec.per_group and spec.cost == "predictions":
            rules.append({"id": spec.name, "metric": spec.name, "within": [spec.low, spec.high], "allow_incomplete": True})
    return Policy.stored({"schema": "grmu-audit/policy/v1", "name": "generous", "rules": rules, "minimum_group_size": 1})


POLICY = generous()


@st.composite
def frames(draw):
    """A prediction file with one or several defects of the acceptance list."""
    n, classes = draw(st.integers(1, 50)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    kind = draw(st.sampled_from(["logit", "prob", "prediction", "loss"]))
    wanted = draw(st.sets(st.sampled_from(["constant", "one class", "one group", "no forget", "own group", "nan", "inf", "sum"])))
    splits = [s for s in SPLITS if s != "forget" or "no forget" not in wanted]
    frame = pd.DataFrame({"id": [f"s{i}" for i in range(n)], "split": rng.choice(splits, n)})
    frame["target"] = 0 if "one class" in wanted else rng.integers(0, classes, n)
    frame["attribute"] = np.arange(n) if "own group" in wanted else 0 if "one group" in wanted else rng.integers(0, 3, n)
    table = rng.normal(size=(n, classes)) * draw(st.sampled_from([1.0, 1e3, 1e5, 1e300]))
    table = np.zeros((n, classes)) if "constant" in wanted else table
    if kind == "prob":
        table = np.exp(table - table.max(axis=1, keepdims=True))
        table /= table.sum(axis=1, keepdims=True)
        table = table * 1.5 if "sum" in wanted else table
    bad = {"nan": np.nan, "inf": np.inf}
    for name in wanted & bad.keys():
        table[rng.integers(n), rng.integers(classes)] = bad[name]
    if kind in ("logit", "prob"):
        for c in range(classes):
            frame[f"{kind}_{c}"] = table[:, c]
    else:
        frame["prediction"] = 0 if "constant" in wanted else rng.integers(0, classes, n)
    if kind == "loss":
        frame["loss"] = np.abs(table[:, 0])
    refused = kind != "prediction" and wanted & {"nan", "inf"} and not np.isfinite(table if kind != "loss" else table[:, 0]).all()
    absurd = kind == "logit" and bool((np.abs(table) > 1e6).any())
    return frame, wanted, bool(refused) or absurd or (kind == "prob" and "sum" in wanted)


@settings(max_examples=60, deadline=None)
@given(frames())
def test_every_defect_is_refused_or_stated_and_never_passes(case):
    frame, wanted, refused = case
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / "p.csv"
        frame.to_csv(path, index=False)
        if refused:
            with pytest.raises(InputError, match="prediction file cannot be used"):
                score(path, policy=POLICY)
            return
        audit = score(path, policy=POLICY, today=date(2026, 6, 1))
    for value in audit.metrics:
        assert (value.value is None) <= bool(value.why_missing)
        assert value.value is None or (np.isfinite(value.value) and value.interval[0] <= value.value <= value.interval[1])
    outcomes = {rule.id: rule for rule in audit.verdict.rules}
    for name, outcome in outcomes.items():
        assert outcome.decision is not Decision.PASS or audit.metric(name).value is not None
        assert outcome.decision is Decision.PASS or outcome.reason
    must = {"no forget": ("UA", "GA", "MIA", "MIA_PAPER", "MIA_AUC", "MIA_TPR_1", "UA_GA_GAP")}
    must |= {
        "one group": ("EO", "EP", "DP"),
        "one class": ("EO",),
        "constant": ("EO", "EP", "DP", "MIA", "MIA_AUC", "RETAIN_AUC"),
    }
    for defect in wanted & must.keys():
        if defect == "one group" and "own group" in wanted:
            continue
        assert all(outcomes[name].decision is Decision.INCONCLUSIVE for name in must[defect]) or len(frame) == 1
    assert audit.verdict.decision is not Decision.PASS


def test_a_collapsed_model_does_not_pass_by_its_gap_of_zero():
    p = example()
    flat = replace(p, prediction=np.ones(len(p), dtype=np.int64), logits=np.tile([0.0, 1.0], (len(p), 1)))
    found = {v.name: v for v in measure_predictions(flat) if v.group is None}
    for name in ("EO", "EP", "DP"):
        assert "every test sample is predicted as class 1" in found[name].why_missing
    for name in ("MIA", "MIA_AUC", "MIA_TPR_1", "RETAIN_AUC", "MIA_DISPARITY"):
        assert "all samples have the same scores" in found[name].why_missing
    assert found["TA"].value == pytest.approx((p.target[p.mask("test")] == 1).mean())


def test_a_million_groups_of_one_sample_are_refused(tmp_path, capsys):
    n = 1_000_000
    frame = pd.DataFrame({"id": np.arange(n), "split": np.tile(SPLITS, n // 4), "target": np.tile([0, 0, 1, 1], n // 4)})
    frame["id"] = frame["id"].astype(str)
    frame["attribute"], frame["prediction"] = np.arange(n), 0
    frame.to_parquet(tmp_path / "p.parquet")
    assert execute(["score", "--predictions", str(tmp_path / "p.parquet")]) == 2
    said = capsys.readouterr().err
    assert "1,000,000 groups" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) < 5


def test_twenty_thousand_groups_are_judged_without_a_flood():
    n = 20_000
    base = example()
    index = np.arange(n) % len(base)
    p = replace(
        base,
        ids=np.arange(n).astype(str),
        attribute=np.arange(n) // 2,
        attributes=n // 2,
        **{name: getattr(base, name)[index] for name in ("split", "target", "prediction", "logits")},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audit = measured(p)
        verdict = evaluate(audit, POLICY, today=date(2026, 6, 1))
    assert verdict.decision is not Decision.PASS
    assert audit.metric("WG").incomplete
