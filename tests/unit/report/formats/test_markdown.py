from dataclasses import replace

import pytest
import yaml
from support import audits

from grmu_audit.records import Decision
from grmu_audit.report.formats import render
from grmu_audit.report.formats.markdown import MAX_DESCRIPTION, AuditedVersion, render_description, render_model_description


def parts(audit):
    head, _, body = render(audit, "model-card").removeprefix("---\n").partition("\n---\n")
    return yaml.safe_load(head), body


def test_the_metadata_has_the_form_that_hubs_read():
    meta, body = parts(audits.judged(Decision.PASS))
    assert meta["language"] == "en"
    assert meta["base_model"] == "photodigits-v1/1"
    result = meta["model-index"][0]["results"][0]
    assert result["dataset"] == {"type": "PhotoDigits", "name": "PhotoDigits", "split": "test"}
    metrics = {metric["type"]: metric for metric in result["metrics"]}
    assert metrics["TA"]["value"] == round(next(v.value for v in audits.judged(Decision.PASS).metrics if v.name == "TA"), 6)
    assert "MIA_TPR_01" not in metrics
    assert "# photodigits-v1/4" in body
    assert "## What was not measured" in body


def test_a_forget_set_too_small_to_be_counted_is_not_given_away_by_the_retain_set():
    base = audits.judged(Decision.PASS)
    meta, _ = parts(replace(base, forget=replace(base.forget, count=3)))
    metrics = {metric["type"]: metric for metric in meta["model-index"][0]["results"][0]["metrics"]}
    assert "n" in metrics["TA"]["args"]
    assert "n" not in metrics["RA"]["args"]


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("image", "image-classification"),
        ("table", "tabular-classification"),
        ("text", "text-classification"),
        ("predictions", "other"),
        ("", "other"),
        ("sound", "other"),
    ],
)
def test_the_task_is_that_of_the_data(kind, task):
    audit = audits.judged(Decision.PASS)
    meta, _ = parts(replace(audit, data=replace(audit.data, kind=kind)))
    assert meta["model-index"][0]["results"][0]["task"]["type"] == task


def test_nothing_measured_is_no_model_index():
    meta, body = parts(audits.everything_undefined())
    assert "model-index" not in meta
    assert "**INCONCLUSIVE.**" in body


def test_hostile_names_stay_text():
    for text in (audits.HOSTILE, "x" * 10_000, "---\nlicense: mit\n---"):
        meta, body = parts(audits.hostile(text))
        assert "license" not in meta
        assert "<script" not in body
        assert meta["tags"][:3] == ["machine-unlearning", "fairness", "audit"]
        assert len(body.encode()) < 200_000


@pytest.mark.parametrize("name", sorted(audits.ALL))
def test_a_description_fits_the_registry_and_obeys_nobody(name):
    text = render_description(audits.ALL[name]())
    assert len(text) <= MAX_DESCRIPTION
    assert text.startswith("## ")
    assert "<" not in text
    assert "](" not in text


def test_a_description_says_verdict_answers_and_scale():
    text = render_description(audits.judged(Decision.PASS))
    assert text.startswith("## ✔ PASS: photodigits-v1/4")
    assert "**Was it forgotten?** Yes, as far as its outputs show" in text
    assert "`as before |----------------========o======| as retrained`" in text
    assert "**What did it do to people?** Within the limits of the policy." in text
    assert "as retrained" not in render_description(audits.everything_undefined())


def test_a_description_that_is_too_long_loses_its_last_parts():
    base = audits.judged(Decision.PASS)

    def described(asked_by):
        return render_description(replace(base, forget=replace(base.forget, request={"request_id": asked_by})))

    whole, cut = described("R-7"), described("<" * 1000)
    assert "R-7" in whole
    assert "**What to do now:**" in whole
    assert "\n\nReport `" in whole
    *kept, facts, _, _ = whole.split("\n\n")
    assert "**Asked by:** R-7" in facts
    assert kept[-1].startswith("**What did it do to people?**")
    assert cut == "\n\n".join(kept) + "\n"


def test_a_description_never_loses_its_verdict_however_much_is_escaped():
    text = render_description(audits.hostile("<" * 10_000))
    assert len(text) <= MAX_DESCRIPTION
    heading, reason, *_ = text.split("\n\n")
    assert heading.startswith("## ✖ BREACH: &#60;&#60;")
    assert reason.startswith("**Did not meet policy")


def test_a_model_without_audited_versions_has_no_table_of_them():
    text = render_model_description("digits", [], None, "")
    assert text.startswith("**No version was promoted: there is no champion.**\n\n")
    assert "|" not in text
    one = AuditedVersion("3", "miu", None, "2026-03-04")
    row = render_model_description("digits", [one], "3", "").splitlines()[4]
    assert row == "| [3](#/models/digits/versions/3) | miu | not judged | 2026-03-04 |"


def test_an_audit_without_a_verdict_has_a_card_without_rules():
    heading = "## Rules of the policy"
    assert heading in parts(audits.judged(Decision.PASS))[1]
    _, body = parts(audits.unjudged())
    assert heading not in body
    assert "**NOT JUDGED.**" in body
