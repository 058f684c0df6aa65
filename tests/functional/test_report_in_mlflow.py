"""The report where most people will meet it: in the artifact view of a running MLflow server, and behind a version's link."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from support import audits
from support.browser import chromium

from grmu_audit.report import render_html

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SHOWN = ("pass", "breach", "multiclass", "undefined", "groups63", "hostile")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    log = (folder / "log").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder)
    try:
        deadline = time.monotonic() + 120
        while not _answers(address):
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "mlflow server did not start within two minutes"
            time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _answers(address):
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


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
        store.describe(ref, audits.HOSTILE, run_id=run.id, artifact="breach.html")
    return run.id, ref


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


def test_every_report_shows_in_the_artifact_view_without_a_message_or_a_request(browser, server, logged):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    said, asked = [], []
    page.on("console", lambda message: None if message.location["url"].startswith(server) else said.append(message.text))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url) if not request.url.startswith(server) else None)
    for name in SHOWN:
        page.goto(f"{server}/#/experiments/1/runs/{logged[0]}/artifacts/{name}.html")
        frame = page.frame_locator("iframe")
        frame.locator("#verdict-word").wait_for(timeout=60_000)
        inside = next(f for f in page.frames if f != page.main_frame)
        assert inside.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert inside.evaluate("performance.getEntriesByType('resource').length") == 0
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == []


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
