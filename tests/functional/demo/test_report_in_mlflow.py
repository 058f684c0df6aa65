"""The report where most people will meet it: in the artifact view of a running MLflow server, and behind a version's link."""

import pytest
from support import audits
from support.browser import chromium
from support.servers import mlflow_server

from grmu_audit.report import render_description, render_html

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SHOWN = ("pass", "breach", "multiclass", "undefined", "groups63", "hostile")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(folder, f"sqlite:///{folder}/mlflow.db") as address:
        yield address


@pytest.fixture(scope="module")
def logged(server, tmp_path_factory):
    from grmu_audit.tracking import open_store

    folder = tmp_path_factory.mktemp("model")
    (folder / "model.json").write_text("{}")
    store = open_store(server, None, root=folder / "unused")
    with store.run("photodigits", "audit") as run:
        for name in SHOWN:
            run.log_bytes(render_html(audits.ALL[name]()).encode(), f"{name}.html")
        ref = store.register(run, "photodigits", folder, role="unlearned")
        store.describe(ref, render_description(audits.hostile()), run_id=run.id, artifact="breach.html")
    return run.id, ref


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


def shown(browser, server, pages):
    """Open reports inside the artifact view; returns the word of each, what the pages said, and what they requested elsewhere."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    words, said, requested = [], [], []
    page.on("console", lambda message: None if message.location["url"].startswith(server) else said.append(message.text))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requested.append(request.url) if not request.url.startswith(server) else None)
    for experiment, run, name in pages:
        page.goto(f"{server}/#/experiments/{experiment}/runs/{run}/artifacts/{name}")
        frame = page.frame_locator("iframe")
        frame.locator("#verdict-word").wait_for(timeout=60_000)
        words.append(frame.locator("#verdict-word").inner_text())
        inside = next(f for f in page.frames if f != page.main_frame)
        assert inside.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert inside.evaluate("performance.getEntriesByType('resource').length") == 0
    page.close()
    return words, said, [url for url in requested if not url.startswith(("data:", "blob:"))]


def test_every_report_shows_in_the_artifact_view_without_a_message_or_a_request(browser, server, logged):
    words, said, requested = shown(browser, server, [(1, logged[0], f"{name}.html") for name in SHOWN])
    assert len(words) == len(SHOWN)
    assert said == requested == []


def test_the_demo_s_own_reports_show_in_the_artifact_view(browser, demo, tmp_path):
    """As a user finds them: ``mlflow server`` over the folder that the demo left, and the run that each version names."""
    from mlflow import MlflowClient

    backend = f"sqlite:///{demo.folder}/mlruns/mlflow.db"
    client = MlflowClient(backend, backend)
    runs = [client.get_model_version("photodigits", version).tags["grmu.audit_run"] for version in ("3", "5")]
    pages = [(client.get_run(run).info.experiment_id, run, "report.html") for run in runs]
    with mlflow_server(tmp_path, backend) as address:
        words, said, requested = shown(browser, address, pages)
    assert words == ["PASS", "BREACH"]
    assert said == requested == []


def test_the_version_s_description_links_to_the_report(browser, server, logged):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    said = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.goto(f"{server}/#/models/photodigits/versions/{logged[1].version}")
    link = page.get_by_role("link", name="breach.html")
    link.wait_for(timeout=60_000)
    assert link.get_attribute("href").endswith(f"runs/{logged[0]}/artifacts/breach.html")
    assert page.locator("script", has_text="alert(1)").count() == 0
    page.goto(f"{server}/{link.get_attribute('href')}")
    page.frame_locator("iframe").locator("#verdict-word").wait_for(timeout=60_000)
    page.close()
    assert said == []
