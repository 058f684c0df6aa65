"""Bundles of counts: what follows from them is computed again, all else is named, and nobody is named in them."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.judged_audits import audit_of, inputs_of, key_pair, policy, predictions, version
from support.memory_store import MemoryStore
from support.random_predictions import made

from grmu_audit.auditing.audit_files import as_read_back
from grmu_audit.auditing.bundle_check import compare_forms, verify_bundle, verify_bundle_bytes
from grmu_audit.auditing.disclosure.count_check import COUNTED, recount
from grmu_audit.auditing.disclosure.counts import count_answers, read_counts
from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.auditing.measurement import measure
from grmu_audit.auditing.stored_predictions import stored_inputs
from grmu_audit.cli.tables import bundle_check_json, bundle_check_text
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.archive import pack, unpack
from grmu_audit.evidence.attestation import counts_statement
from grmu_audit.evidence.signing import load_public_key, load_signer, sign_envelope
from grmu_audit.policy import Policy, load_named
from grmu_audit.policy.judgement import judge
from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    EARLIER_SCHEMA,
    SPLITS,
    Audit,
    AuditContext,
    AuditedModel,
    AuditInputs,
    DataRecord,
    MeasureOptions,
    ModelRef,
    Predictions,
)
from grmu_audit.records.audit import MEASURED_PARTS
from grmu_audit.report import render, render_description
from grmu_audit.tracking import Author, record_audit, sign_off
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.workflows.audits.stored import COUNTS, export_bundle

RULES: list[dict[str, Any]] = [
    {"id": "accuracy", "metric": "TA", "min": 0.3, "evidence": "point"},
    {"id": "gap", "metric": "EO", "max": 0.0, "evidence": "point", "severity": "warn"},
    {"id": "unseen", "metric": "MIA_AUC", "min": 0.0, "max": 0.999, "evidence": "point"},
]
CHOSEN = Policy.model_validate({**policy().model_dump(mode="json", by_alias=True), "rules": RULES})


def outputs(seed: int) -> Predictions:
    """Outputs on 600 samples, each of its own person, with names that occur nowhere else."""
    table = predictions(seed, 600)
    return replace(table, subject=None, ids=np.array(sorted(sha256_hex(name.encode()) for name in table.ids.tolist())))


TABLES = [outputs(seed) for seed in (700, 701, 702)]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, dict[str, bytes]]:
    """An audit of the version that ``recorded`` registers, and the files behind it."""
    folder = tmp_path_factory.mktemp("judged")
    ref = version(MemoryStore(folder / "store"), "m", folder / "v1")
    audit = audit_of(ref, TABLES, CHOSEN)
    return audit, evidence_files(audit, CHOSEN, inputs_of(ref, TABLES))


def recorded(folder: Path, audit: Audit, files: dict[str, bytes], key: Path | None = None) -> MemoryStore:
    """A store that holds the audit as its newest one."""
    store = MemoryStore(folder / "store")
    ref = version(store, "m", folder / "v1")
    files = {**files, "report.html": render(audit, "html").encode(), "description.md": render_description(audit).encode()}
    with store.run("m", "audit") as run:
        record_audit(store, run, audit, files, Author("auditor", load_signer(key) if key else None))
    sign_off(store, ref, "preparer", Author("ana"), "read it")
    return store


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, judged: tuple[Audit, dict[str, bytes]]) -> tuple[Path, Path, Path]:
    """A bundle of counts and an internal one of one signed audit, and the public key."""
    folder = tmp_path_factory.mktemp("counts")
    private, public = key_pair(folder)
    store = recorded(folder, as_read_back(judged[0]), judged[1], private)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRMU_AUDIT_SIGNING_KEY", str(private))
        export_bundle(store, "m/1", folder / "counts.zip", COUNTS)
        export_bundle(store, "m/1", folder / "internal.zip")
    return folder / "counts.zip", folder / "internal.zip", public


def test_what_follows_from_counts_is_computed_again_and_the_rest_is_named(exported: tuple[Path, Path, Path]) -> None:
    bundle, internal, public = exported
    checked = verify_bundle(bundle, [load_public_key(public)])
    assert (checked.findings, checked.subject, len(checked.signed)) == ((), "m/1", 1)
    assert checked.compared > 60
    assert {"MIA", "MIA_AUC", "AVG_GAP", "FORGET_SHARE", "GAIN_SHARE", "rule unseen"} < set(checked.not_recomputed)
    assert not {"TA", "GA", "EO", "UA", "TOW", "rule accuracy", "rule gap"} & set(checked.not_recomputed)
    assert "controls 'before', 'before, logits x 0.3', 'before, labels only', 'reference#1'" in checked.not_recomputed
    assert "whether anything was done" in checked.not_recomputed
    assert compare_forms(bundle, internal) == ()
    text = bundle_check_text(checked)
    assert "not recomputed, needs per-row predictions: rule unseen" in text
    assert text.endswith(f"what was recomputed agrees; {len(checked.not_recomputed)} not recomputed")
    assert json.loads(bundle_check_json(checked))["not_recomputed"] == list(checked.not_recomputed)


def everything_in(content: bytes) -> bytes:
    """The bytes of an archive, which compresses nothing, and the statements in its envelopes."""
    files = unpack(content)[0]
    envelopes = [json.loads(text) for name, text in files.items() if name.endswith(".dsse.json")]
    return content + b"".join(base64.b64decode(envelope["payload"]) for envelope in envelopes)


def test_nobody_is_named_in_it_and_no_file_has_one_entry_a_sample(exported: tuple[Path, Path, Path]) -> None:
    bundle, internal, _ = exported
    files, whole = (unpack(path.read_bytes())[0] for path in (bundle, internal))
    left_out = {name for name in whole if name.startswith(("predictions/", "rows_read"))}
    assert len(left_out) == 4
    assert whole.keys() - files.keys() == left_out
    names = TABLES[0].ids.tolist()
    found = everything_in(bundle.read_bytes())
    assert any(name.encode() in everything_in(internal.read_bytes()) for name in names), "the search finds names where they are"
    assert not [name for name in names if name.encode() in found]
    assert json.loads(files["counts.json"])["left_out"] == {name: sha256_hex(whole[name]) for name in left_out}


def test_numbers_from_the_file_alone_are_those_of_the_audit(exported: tuple[Path, Path, Path]) -> None:
    files = unpack(exported[0].read_bytes())[0]
    audit = Audit.from_json(json.loads(files["audit.json"]))
    tables = json.loads(files["counts.json"])["tables"]
    test = pd.DataFrame(tables["candidate"]["test"], columns=["y", "s", "out", "n"])
    right = test[test.y == test.out].groupby(["y", "s"]).n.sum() / test.groupby(["y", "s"]).n.sum()
    gaps = right.groupby("y").agg(lambda rates: rates.max() - rates.min())
    forget = pd.DataFrame(tables["candidate"]["forget"], columns=["y", "s", "right", "n"])
    pairs = pd.DataFrame(tables["baseline"]["test"], columns=["y", "s", "out", "before", "n"])
    change = (pairs.n * (pairs.out == pairs.y)).sum() - (pairs.n * (pairs.before == pairs.y)).sum()
    expected = {
        ("TA", CANDIDATE): test[test.y == test.out].n.sum() / test.n.sum(),
        ("WG", CANDIDATE): right.min(),
        ("EO", CANDIDATE): gaps.mean(),
        ("UA", CANDIDATE): (forget.n * forget.right).sum() / forget.n.sum(),
        ("TA", BASELINE.as_change()): change / pairs.n.sum(),
    }
    for (name, subject), number in expected.items():
        value = audit.metric(name, subject)
        assert value is not None
        assert value.value == pytest.approx(number)


def forged(folder: Path, judged: tuple[Audit, dict[str, bytes]], edit: Callable[[dict[str, Any], dict[str, Any]], None]) -> bytes:
    """A consistent, unsigned bundle around an edited audit or edited counts: what a forger can make."""
    store = recorded(folder, edited_audit(judged[0], edit), judged[1])
    export_bundle(store, "m/1", folder / "counts.zip", COUNTS)
    files = unpack((folder / "counts.zip").read_bytes())[0]
    counts = json.loads(files["counts.json"])
    edit(json.loads(canonical_json(judged[0].to_json())), counts)
    told = canonical_json(counts)
    statement = counts_statement("m/1", {"counts.json": sha256_hex(told), "audit.json": sha256_hex(files["audit.json"])})
    return pack({**files, "counts.json": told, "counts.dsse.json": sign_envelope(statement, None)})


def edited_audit(audit: Audit, edit: Callable[[dict[str, Any], dict[str, Any]], None]) -> Audit:
    """The audit with an edit; one that is about the counts finds the least that it needs."""
    tree = json.loads(canonical_json(audit.to_json()))
    rows = {split: [[0, 0, 1, 1, 2], [0, 0, 1, 0, 2]] for split in SPLITS}
    edit(tree, {"tables": {"baseline": rows}, "left_out": {"predictions/baseline.parquet": ""}})
    return Audit.from_json(tree)


def value_in(audit: dict[str, Any], name: str, subject: str = "candidate") -> dict[str, Any]:
    return next(value for value in audit["metrics"] if (value["name"], value["subject"]) == (name, subject))


def raise_accuracy(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    value_in(audit, "TA")["value"] = 0.999


def narrow_a_change(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    value_in(audit, "GA", "candidate-baseline")["interval"] = [-0.001, 0.001]


def drop_a_gap(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    audit["metrics"].remove(value_in(audit, "DP", "reference#1"))


def turn_an_answer(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    """One wrong answer of the version before becomes a right one."""
    rows = counts["tables"]["baseline"]["test"]
    row = next(row for row in rows if row[0] != row[3] and row[-1] > 1)
    row[-1] -= 1
    next(other for other in rows if other[:4] == [*row[:3], row[0]])[-1] += 1


def pass_a_rule(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    audit["verdict"]["rules"][1]["decision"] = "PASS"


def pass_a_rule_that_is_not_recomputed(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    audit["verdict"]["rules"][2]["decision"] = "BREACH"


def say_that_nothing_was_done(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    audit["unchanged"] = True


def drop_a_control(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    del audit["controls"][1], audit["verdict"]["controls"][1]


def drop_all_controls(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    audit["controls"] = audit["verdict"]["controls"] = []


def drop_an_attack(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    audit["metrics"].remove(value_in(audit, "MIA_TPR_1"))


def drop_a_later_metric(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    audit["metrics"] = [value for value in audit["metrics"] if value["name"] != "CONFORMAL_SIZE"]


def drop_a_later_metric_of_answers(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    audit["metrics"] = [value for value in audit["metrics"] if value["name"] != "IMPACT_RATIO"]


def drop_the_segments(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    del audit["segments"]


def leave_a_table_out_of_the_list(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    del counts["left_out"]["predictions/baseline.parquet"]


def leave_the_report_out(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    counts["left_out"]["report.html"] = "0" * 64


def name_another_table(audit: dict[str, Any], counts: dict[str, Any]) -> None:
    counts["left_out"]["predictions/candidate.parquet"] = "0" * 64


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (raise_accuracy, "TA candidate: recorded 0.999, computed again"),
        (narrow_a_change, "GA candidate-baseline: recorded interval"),
        (drop_a_gap, "DP reference#1 follows from the counts, but is not recorded"),
        (turn_an_answer, "TA baseline: recorded"),
        (pass_a_rule, "rule gap is recorded as PASS, computed again it is BREACH"),
        (pass_a_rule_that_is_not_recomputed, "rule unseen is recorded as BREACH, computed again it is"),
        (say_that_nothing_was_done, "nothing was done is recorded as True, but the counts show answers that differ"),
        (drop_a_control, "the controls are recorded as 'before', 'before, labels only', 'reference#1'; the models of the audit"),
        (drop_all_controls, "the controls are recorded as none; the models of the audit give 'before', 'before, logits x 0.3'"),
        (drop_an_attack, "MIA_TPR_1 candidate is not recorded, although every such audit records it"),
        (drop_a_later_metric, "CONFORMAL_SIZE: the audit states that this was measured, and does not hold it"),
        (drop_a_later_metric_of_answers, "IMPACT_RATIO candidate follows from the counts, but is not recorded"),
        (drop_the_segments, "weak segments: the audit states that this was measured, and does not hold it"),
        (leave_a_table_out_of_the_list, "tables of the audit: predictions/baseline.parquet is not in left_out"),
        (leave_the_report_out, "does not stand in place of the tables of the audit: report.html"),
        (name_another_table, "the attestation does not cover predictions/candidate.parquet"),
    ],
)
def test_a_forged_bundle_is_found(
    tmp_path: Path, judged: tuple[Audit, dict[str, bytes]], edit: Callable[..., None], words: str
) -> None:
    findings = verify_bundle_bytes(forged(tmp_path, judged, edit)).findings
    assert any(words in finding for finding in findings), findings


def passed_off(audit: Audit, chosen: Policy, **edits: Any) -> Audit:
    """The audit with an edit, judged again: a forger who makes the verdict follow from it."""
    return judge(replace(audit, **edits), chosen, date.fromisoformat(str(audit.record["created"])[:10]))


def same_twice(seed: int, *, scores: bool) -> AuditInputs:
    """A candidate with the outputs of the version before."""
    table = outputs(seed) if scores else replace(outputs(seed), logits=None)
    return AuditInputs(AuditedModel(ModelRef("m", "2"), table), AuditedModel(ModelRef("m", "1"), table))


@pytest.mark.parametrize("scores", [True, False])
def test_a_version_that_nothing_was_done_to_cannot_be_passed_off_as_another(scores: bool) -> None:
    inputs = same_twice(700, scores=scores)
    audit, honest = counted_again(inputs, MeasureOptions(), CHOSEN)
    assert audit.unchanged
    assert honest.findings == ()
    assert any("every answer that the counts show is that of the version before" in note for note in honest.notes)
    counts = read_counts(json.loads(count_answers(inputs, {}).to_json()), {"candidate": False, "baseline": False})
    forged = recount(passed_off(audit, CHOSEN, unchanged=False), CHOSEN, counts)
    assert any("both have the same digest of predictions" in finding for finding in forged.findings)
    other = audit.record | {"predictions_sha256": {"candidate": "0", "baseline": "1"}}
    more = recount(passed_off(audit, CHOSEN, unchanged=False, record=other), CHOSEN, counts)
    assert any("no number that rests on scores" in finding for finding in more.findings) is not scores
    assert any("only scores" in note for note in more.notes), "where no finding is possible, the recipient is told"
    assert "whether anything was done" in more.not_recomputed


def test_equal_answers_with_other_scores_are_no_difference_but_are_told() -> None:
    inputs = same_twice(700, scores=True)
    other = replace(inputs.candidate.predictions, logits=inputs.candidate.predictions.logits * 2)
    audit, found = counted_again(replace(inputs, candidate=AuditedModel(ModelRef("m", "2"), other)), MeasureOptions(), CHOSEN)
    assert not audit.unchanged
    assert found.findings == ()
    assert any("only scores" in note for note in found.notes)


def test_an_audit_of_before_parts_were_stated_says_that_deletion_cannot_be_told(judged: tuple[Audit, dict[str, bytes]]) -> None:
    audit = judged[0]
    counts = count_answers(inputs_of(audit.subject, TABLES), {})
    record = {key: value for key, value in audit.record.items() if key != MEASURED_PARTS}
    before = recount(replace(audit, record=record), CHOSEN, counts)
    assert (before.findings, before.notes) == ((), ())
    absent = recount(passed_off(audit, CHOSEN, record=record, segments=None), CHOSEN, counts)
    assert absent.findings == ()
    assert absent.notes == ("made before weak segments were recorded: their absence cannot be told from deletion",)


def test_an_audit_of_before_controls_is_counted_again_without_them() -> None:
    golden = Path(__file__).resolve().parents[3] / "golden" / "bundle-audit-v1.zip.gz"
    files = unpack(gzip.decompress(golden.read_bytes()))[0]
    audit, chosen = Audit.from_json(json.loads(files["audit.json"])), Policy.stored(json.loads(files["policy.json"]))
    assert audit.schema == EARLIER_SCHEMA
    counts = count_answers(stored_inputs(audit, files), {})
    found = recount(audit, chosen, counts)
    assert (found.findings, found.notes) == ((), ())
    assert found.compared > 60
    assert not any(name.startswith("controls") or name == "whether anything was done" for name in found.not_recomputed)
    first = next(value for value in audit.metrics if value.name == "TA")
    other = recount(
        replace(audit, metrics=(replace(first, value=0.123), *(v for v in audit.metrics if v is not first))), chosen, counts
    )
    assert any(finding.startswith(f"TA {first.subject}: recorded 0.123") for finding in other.findings)


def test_that_nothing_was_done_needs_a_version_before() -> None:
    inputs = replace(same_twice(700, scores=True), baseline=None)
    audit, honest = counted_again(inputs, MeasureOptions(), CHOSEN)
    assert (audit.unchanged, honest.findings) == (False, ())
    counts = read_counts(json.loads(count_answers(inputs, {}).to_json()), {"candidate": False})
    forged = recount(passed_off(audit, CHOSEN, unchanged=True), CHOSEN, counts)
    assert "that nothing was done is recorded as True, but no version before is recorded" in forged.findings


@pytest.mark.parametrize("name", ["attestation.dsse.json", "audit.json", "predictions/candidate.parquet"])
def test_an_internal_bundle_that_lacks_a_file_is_named(exported: tuple[Path, Path, Path], tmp_path: Path, name: str) -> None:
    files = unpack(exported[1].read_bytes())[0]
    (tmp_path / "part.zip").write_bytes(pack({file: content for file, content in files.items() if file != name}))
    with pytest.raises(IntegrityError, match=f"part.zip: .* {name}"):
        compare_forms(exported[0], tmp_path / "part.zip")


def test_counts_that_the_exporter_did_not_sign_do_not_count(exported: tuple[Path, Path, Path]) -> None:
    bundle, _, public = exported
    files, keys = unpack(bundle.read_bytes())[0], [load_public_key(public)]
    envelope = json.loads(files["counts.dsse.json"])
    unsigned = pack({**files, "counts.dsse.json": canonical_json({**envelope, "signatures": []})})
    assert any(
        "counts.dsse.json is not signed by any of the 1 trusted keys" in f for f in verify_bundle_bytes(unsigned, keys).findings
    )
    without = pack({name: content for name, content in files.items() if name != "counts.dsse.json"})
    assert any("or there is no counts.dsse.json on it" in finding for finding in verify_bundle_bytes(without).findings)


def test_tables_beside_counts_are_refused(exported: tuple[Path, Path, Path]) -> None:
    bundle, internal, _ = exported
    both = pack({**unpack(bundle.read_bytes())[0], **unpack(internal.read_bytes())[0]})
    assert any("does not stand in place of the tables" in finding for finding in verify_bundle_bytes(both).findings)


def test_the_internal_bundle_shows_counts_that_fit_the_audit_but_are_not_its_own(
    exported: tuple[Path, Path, Path], judged: tuple[Audit, dict[str, bytes]], tmp_path: Path
) -> None:
    bundle, internal, _ = exported

    def other_groups(audit: dict[str, Any], counts: dict[str, Any]) -> None:
        """Right and wrong answers on retain rows change places between the attribute values; no metric of them changes."""
        for table in counts["tables"].values():
            table["retain"] = sorted([[row[0], 1 - row[1], *row[2:]] for row in table["retain"]])

    (tmp_path / "other.zip").write_bytes(forged(tmp_path, judged, other_groups))
    found = compare_forms(tmp_path / "other.zip", internal)
    assert "counts.json does not hold the counts of the predictions in internal.zip" in found
    with pytest.raises(InputError, match="is a bundle of counts: give the internal one"):
        compare_forms(bundle, bundle)


def counted_again(inputs: AuditInputs, options: MeasureOptions, chosen: Policy) -> tuple[Audit, Any]:
    """An audit, and what its counts give."""
    record = {"purged": {str(s): "request R-1" for s, model in inputs.models.items() if model.purged}}
    context = AuditContext(DataRecord("d", {}), record={key: value for key, value in record.items() if value})
    audit = judge(measure(inputs, context, options), chosen)
    tree = json.loads(count_answers(inputs, {}).to_json())
    subjects = {str(subject): bool(model.purged) for subject, model in inputs.models.items()}
    return audit, recount(audit, chosen, read_counts(tree, subjects))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(12, 250),
    classes=st.integers(2, 4),
    attributes=st.integers(1, 3),
    subjects=st.sampled_from([None, 3, 40]),
    variant=st.sampled_from(["pairwise", "paper"]),
    references=st.integers(0, 3),
    purged=st.booleans(),
)
def test_every_metric_of_answers_follows_from_counts(
    seed: int, n: int, classes: int, attributes: int, subjects: int | None, variant: str, references: int, purged: bool
) -> None:
    first = made(n, classes, attributes, seed, subjects)
    rng = np.random.default_rng(seed)

    def another() -> Predictions:
        return replace(first, prediction=rng.integers(0, classes, n), logits=rng.normal(size=(n, classes)))

    root, kept = another(), np.flatnonzero(first.mask("test"))
    columns = ("ids", "split", "target", "attribute", "prediction", "logits", "subject")
    part = {name: getattr(root, name)[kept] for name in columns if getattr(root, name) is not None}
    whole = not purged or not len(kept)
    inputs = AuditInputs(
        AuditedModel(ModelRef("m", "3", parent="m/2"), first),
        AuditedModel(ModelRef("m", "2", parent="m/1"), another()),
        tuple(AuditedModel(ModelRef("m", str(4 + i), reweight=i > 0), another()) for i in range(references)),
        root=AuditedModel(ModelRef("m", "1"), root if whole else replace(root, **part), purged="" if whole else "request R-1"),
    )
    audit, found = counted_again(inputs, MeasureOptions(gap_variant=variant), load_named("default"))
    assert found.findings == ()
    names = {value.name for value in audit.metrics}
    assert not (names & set(COUNTED)) & set(found.not_recomputed)
    assert names - set(COUNTED) <= set(found.not_recomputed)
    clustered = [name for name in found.not_recomputed if "people with several samples" in name]
    assert bool(clustered) is (subjects is not None)


def test_with_several_samples_a_person_the_counts_behind_an_interval_are_compared_and_the_rest_is_named(tmp_path: Path) -> None:
    tables = [predictions(seed, 400) for seed in (700, 701)]
    inputs = inputs_of(ModelRef("m", "1"), tables)
    audit, found = counted_again(inputs, MeasureOptions(), CHOSEN)
    assert found.findings == ()
    assert "rule accuracy" in found.not_recomputed
    value = audit.metric("TA")
    assert value is not None
    assert value.statistic is not None
    assert value.interval is not None
    fewer = replace(value, statistic=replace(value.statistic, k=value.statistic.k - 1))  # type: ignore[call-arg, attr-defined]
    narrower = replace(value, interval=(value.interval[0] + 0.01, value.interval[1]))
    counts = read_counts(json.loads(count_answers(inputs, {}).to_json()), {"candidate": False, "baseline": False})
    for edited, words in ((fewer, "the counts of the recorded sufficient statistic"), (narrower, "does not follow from")):
        metrics = tuple(edited if one is value else one for one in audit.metrics)
        assert any(words in finding for finding in recount(replace(audit, metrics=metrics), CHOSEN, counts).findings)


def test_every_split_may_be_empty_but_test(tmp_path: Path) -> None:
    first = made(80, seed=2)
    only = replace(first, split=np.full(80, SPLITS.index("test")))
    audit, found = counted_again(AuditInputs(AuditedModel(ModelRef("m", "1"), only)), MeasureOptions(), CHOSEN)
    assert found.findings == ()
    assert audit.metric("TA") is not None
