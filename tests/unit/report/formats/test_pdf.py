import io
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from support import audits
from support.system_packages import require_pango

from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.records import Decision
from grmu_audit.report import render_html, render_pdf


@pytest.fixture(scope="module")
def pango():
    require_pango()


needs_pango = pytest.mark.usefixtures("pango")


@pytest.fixture(scope="module")
def reader(pango):
    pypdf = pytest.importorskip("pypdf")
    return pypdf.PdfReader(io.BytesIO(render_pdf(audits.rich())))


def titles(outline):
    """Of all levels."""
    return [title for entry in outline for title in (titles(entry) if isinstance(entry, list) else [entry.title])]


def test_a_pdf_is_tagged_and_has_bookmarks(reader):
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    assert root["/Lang"] == "en"
    assert {"PASS", "What was not measured", "Rules of the policy", "Robustness", "Record"} <= set(titles(reader.outline))


def test_a_pdf_holds_all_words_and_the_running_header(reader):
    words = " ".join(page.extract_text() for page in reader.pages)
    assert "Met policy" in words
    assert "Fairness-gap by layer" in words
    assert words.count("Report ") >= len(reader.pages)
    assert f"{len(reader.pages)} / {len(reader.pages)}" in words


@needs_pango
@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_no_chart_is_parted_from_its_title_and_no_heading_stands_alone(paper):
    pypdf = pytest.importorskip("pypdf")
    found = pypdf.PdfReader(io.BytesIO(render_pdf(audits.rich(), paper=paper))).pages
    pages = [" ".join(page.extract_text().split()) for page in found]
    drawn = {
        "Losses of forget, retain and unseen samples": "loss, nats",
        "ROC of the membership attack": "false positives, per cent",
        "Accuracy under attack by radius": "radius (pixel",
        "How the audited version was created.": "gradient",
        "Which versions were compared": "Audited version",
    }
    for title, axis in drawn.items():
        assert any(title in words and axis in words for words in pages), title


@needs_pango
def test_what_the_printed_form_leaves_out_stands_in_the_page():
    pypdf = pytest.importorskip("pypdf")
    printed = pypdf.PdfReader(io.BytesIO(render_pdf(audits.rich()))).pages
    words = " ".join(" ".join(page.extract_text() for page in printed).split())
    page = render_html(audits.rich())
    for title in ("Training curves", "Group mix before and after the request", "Recorded reason"):
        assert title in page
        assert title not in words
    assert "Losses of forget, retain and unseen samples" in words


@needs_pango
def test_a_style_sheet_of_the_users_own_needs_no_colour_schemes(tmp_path):
    (tmp_path / "style.css").write_text("body { color: #123; }")
    assert render_pdf(audits.rich(), template_dir=tmp_path).startswith(b"%PDF")


@needs_pango
def test_a_pdf_on_letter_paper_is_as_wide_as_letter():
    pypdf = pytest.importorskip("pypdf")
    page = pypdf.PdfReader(io.BytesIO(render_pdf(audits.everything_undefined(), paper="Letter"))).pages[0]
    assert (round(page.mediabox.width), round(page.mediabox.height)) == (612, 792)


@needs_pango
def test_hostile_names_make_the_same_pdf_twice():
    audit = replace(audits.everything_undefined(), subject=replace(audits.everything_undefined().subject, name=audits.HOSTILE))
    assert render_pdf(audit) == render_pdf(audit)


@needs_pango
@pytest.mark.parametrize("set_before", [None, "12345"])
def test_a_pdf_is_the_same_later_where_fonttools_subsets_the_fonts(monkeypatch, set_before):
    """HarfBuzz-Subset writes no time; without it fontTools writes the current one into each font, unless it is set."""
    from fontTools.misc import timeTools
    from weasyprint.pdf import fonts

    calls = []
    monkeypatch.setattr(fonts, "harfbuzz_subset", None)
    monkeypatch.setattr(timeTools, "time", SimpleNamespace(time=lambda: calls.append(1) or 2e9 + 86400 * len(calls)))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    if set_before is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", set_before)
    first = render_pdf(audits.everything_undefined())
    assert os.environ.get("SOURCE_DATE_EPOCH") == set_before
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert render_pdf(audits.everything_undefined()) == first
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert render_pdf(audits.everything_undefined()) == first


@needs_pango
@pytest.mark.parametrize("set_before", [None, "12345"])
def test_a_pdf_that_cannot_be_written_leaves_the_environment_as_it_was(monkeypatch, set_before):
    import weasyprint

    seen = []

    def out_of_memory(self, **options):
        seen.append(os.environ["SOURCE_DATE_EPOCH"])
        raise MemoryError

    monkeypatch.setattr(weasyprint.HTML, "write_pdf", out_of_memory)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    if set_before is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", set_before)
    dated = replace(audits.everything_undefined(), record={"created": "2026-03-04T05:06:07Z"})
    with pytest.raises(MemoryError):
        render_pdf(dated)
    assert seen == ["1772600767"]
    assert os.environ.get("SOURCE_DATE_EPOCH") == set_before


def test_unknown_paper_and_missing_library_are_clear_errors(monkeypatch):
    with pytest.raises(InputError, match="known are A4, Letter"):
        render_pdf(audits.judged(Decision.PASS), paper="A3")
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(EnvironmentFailure, match=r"grmu-audit\[pdf\]"):
        render_pdf(audits.judged(Decision.PASS))


@needs_pango
def test_the_report_command_writes_pdf_html_and_model_card(tmp_path):
    from grmu_audit.auditing.audit_files import write_audit

    write_audit(audits.everything_undefined(), tmp_path / "audit.json")
    for kind, start in (("pdf", b"%PDF-"), ("html", b"<!DOCTYPE html>"), ("model-card", b"---\nlanguage: en\n")):
        command = [
            sys.executable,
            "-m",
            "grmu_audit",
            "report",
            "--audit",
            "audit.json",
            "--format",
            kind,
            "--out",
            f"out.{kind}",
        ]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert (tmp_path / f"out.{kind}").read_bytes().lstrip()[: len(start)] == start
    refused = subprocess.run(
        [*command[:7], "json", "--paper", "A4", "--templates", "."], cwd=tmp_path, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert "belong to html and pdf" in refused.stderr
