"""Three real versions of a small problem, compared and listed in the register, from what the store holds."""

import json
from datetime import date

import pytest
from support.browser import chromium

from grmu_audit.cli.app import execute
from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.policy import load_named
from grmu_audit.records import BASELINE
from grmu_audit.report import render_comparison
from grmu_audit.workflows import site
from grmu_audit.workflows.audits.comparison import compare
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.forget_requests import ForgetSampling, sample_forget_list
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.site import write_site
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

pytestmark = pytest.mark.slow
QUICK = {"epochs": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("story")
    session = Session(root=folder / "mlruns", actor="ann")
    base = pretrain(session, "small", DataSpec("photodigits", {"renders": 1}), options=TrainingOptions(QUICK))
    sample_forget_list(session.dataset_of(base), folder / "ids.csv", ForgetSampling(("1,0",)))
    retrained = unlearn(session, base.label, folder / "ids.csv", UnlearnOptions("retrain"))
    unlearned = unlearn(session, base.label, folder / "ids.csv", UnlearnOptions("gradient_ascent"))
    audited = audit(session, unlearned.label, load_named("default"), folder / "report")
    return folder, session, (base, retrained, unlearned), audited


def test_the_audit_stores_curves_and_no_small_step(made):
    curves = json.loads((made[0] / "report" / "audit.json").read_text())["curves"]
    assert {"candidate", "baseline", "reference#1"} <= set(curves["losses"]) & set(curves["roc"]) & set(curves["training"])
    cells = [count for item in curves["losses"].values() for row in item["counts"].values() for count in row]
    assert cells
    assert all(count == 0 or count >= 5 for count in cells)
    assert curves["training"]["baseline"][0]["epoch"] == 1
    page = (made[0] / "report" / "report.html").read_text()
    assert all(f'id="chart-{name}-title"' in page for name in ("losses", "roc", "training", "shift", "composition"))


def test_the_version_s_description_links_to_the_logged_report(made):
    _, session, (_, _, unlearned), audited = made
    version = session.store._client.get_model_version("small", unlearned.version)
    run = session.store.tags(unlearned)["grmu.audit_run"]
    assert f"/runs/{run}/artifacts/report.html)" in version.description
    assert session.store.run_artifact(run, "report.html") == (audited.folder / "report.html").read_bytes()


def test_versions_are_compared_pair_by_pair(made):
    _, session, (base, retrained, unlearned), audited = made
    compared = compare(session, [base.label, retrained.label, unlearned.label])
    audits, verdicts = compared.audits, compared.verdicts
    change = audits[2].metric("TA", BASELINE.as_change())
    assert change.value == pytest.approx(audits[2].metric("TA").value - audits[0].metric("TA").value)
    assert change.value == pytest.approx(audited.audit.metric("TA", BASELINE.as_change()).value)
    assert [verdict and verdict.verdict.decision for verdict in verdicts] == [None, None, audited.audit.verdict.decision]
    page = render_comparison(audits, verdicts)
    assert page == render_comparison(audits, verdicts)
    assert page.count('<svg class="chart"') > 8
    assert "Δ" in page
    text = render_comparison(audits, verdicts, "text")
    assert all(ref.label in text for ref in (base, retrained, unlearned))


def test_what_cannot_be_compared_is_refused(made):
    _, session, (base, _, unlearned), _ = made
    for models, message in (
        ([unlearned.label, unlearned.label], "given twice"),
        ([base.label], "none of these versions"),
    ):
        with pytest.raises(InputError, match=message):
            compare(session, models)
    compared = compare(session, [unlearned.label])
    audits, verdicts = compared.audits, compared.verdicts
    with pytest.raises(InputError, match="give 2 to 6"):
        render_comparison(audits, verdicts)


def test_one_version_is_refused_before_a_store_is_looked_for(capsys):
    assert execute(["compare", "nowhere/1"]) == 2
    assert "1 version to compare: give 2 to 6" in capsys.readouterr().err


def test_the_register_is_one_folder_of_working_links(made, tmp_path):
    _, session, (_, _, unlearned), audited = made
    assert write_site(session, tmp_path / "a", today=date(2026, 3, 4)) == 3
    assert write_site(session, tmp_path / "b", today=date(2026, 3, 4)) == 3
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.html"))
    assert len(files) == 2
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files)
    with chromium() as browser:
        page, said, requested = browser.new_page(), [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: requested.append(request.url))
        page.goto((tmp_path / "a" / "index.html").as_uri())
        page.locator("#search").fill("gradient")
        assert page.locator("tr[data-search]:visible").count() == 1
        page.get_by_text("Ledger").click()
        assert page.locator(".timeline li").count() == 5, "what three versions were registered as, and two more entries"
        page.get_by_role("link", name=f"Report {unlearned.label}").click()
        assert page.locator("#verdict-word").inner_text() == audited.audit.verdict.decision
        page.close()
    assert said == []
    assert all(url.startswith(("file://", "data:")) for url in requested)


def test_damaged_evidence_is_listed_as_damaged(made, tmp_path):
    _, session, (_, _, unlearned), _ = made
    before = session.store.tags(unlearned)["grmu.audit_sha256"]
    session.store.tag(unlearned, {"grmu.audit_sha256": "0" * 64})
    try:
        write_site(session, tmp_path, today=date(2026, 3, 4))
    finally:
        session.store.tag(unlearned, {"grmu.audit_sha256": before})
    page = (tmp_path / "index.html").read_text()
    assert "EVIDENCE DAMAGED" in page
    assert "they were edited" in page


@pytest.mark.parametrize("asked", ["newest_audit", "open_requests", "history"])
def test_a_store_that_stops_answering_is_not_shown_as_damaged_evidence(made, tmp_path, monkeypatch, asked):
    def gone(*_):
        raise EnvironmentFailure("the server does not answer")

    monkeypatch.setattr(site, asked, gone)
    with pytest.raises(EnvironmentFailure, match="does not answer"):
        write_site(made[1], tmp_path, today=date(2026, 3, 4))
    assert not (tmp_path / "index.html").exists()


def test_compare_shows_damaged_evidence_beside_the_other_versions_and_exits_with_6(made, tmp_path, monkeypatch, capsys):
    folder, session, (base, retrained, unlearned), _ = made
    monkeypatch.chdir(folder)
    line = ["compare", base.label, retrained.label, unlearned.label, "--out", str(tmp_path / "compare.html")]
    assert execute(line) == 0
    assert "EVIDENCE DAMAGED" not in capsys.readouterr().out
    before = session.store.tags(unlearned)["grmu.audit_sha256"]
    session.store.tag(unlearned, {"grmu.audit_sha256": "0" * 64})
    try:
        code = execute(line)
    finally:
        session.store.tag(unlearned, {"grmu.audit_sha256": before})
    said = capsys.readouterr()
    assert code == 6
    words = {row.split()[0]: row for row in said.out.split("\n\n")[1].splitlines()}
    assert said.out.startswith("No PASS is recorded for any of the 3 versions.")
    assert "EVIDENCE DAMAGED" in words[unlearned.label]
    assert all("NOT JUDGED" in words[ref.label] for ref in (base, retrained))
    assert f"evidence damaged: {unlearned.label}: " in said.err
    page = (tmp_path / "compare.html").read_text()
    assert page.count("EVIDENCE DAMAGED") == 1
    assert page.count("NOT JUDGED") == 2
    assert "they were edited" in page
