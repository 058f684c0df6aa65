"""Take the pictures of ``docs/report.md`` and ``docs/server.md`` again, from a finished demo.

grmu-audit demo && python -m benchmarks.pages.pictures --demo . --write docs/pictures

Needs Debian's chromium and Playwright (extra ``dev``).  Look at each picture before you commit it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from grmu_audit.utils import write_atomic

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Settings of MLflow's server."""
MLFLOW_STATE = {
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.workflowType_v1": '"machine_learning"',
}
"""What MLflow's pages remember in a browser: the menu of models that are trained, no assistant beside the page."""
STARTS = 600
"""Seconds that MLflow's server may take to start."""
VERSIONS = {"promoted": "retrain-reweight", "blocked": "gradient-ascent"}
"""Word in the pictures' names to folder of the demo."""


def commanded(folder: Path, *arguments: str) -> None:
    """One command line in the demo's folder."""
    subprocess.run([sys.executable, "-m", "grmu_audit", "--quiet", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def page_one(browser: Browser, page: Path, size: tuple[int, int], *, dark: bool = False) -> bytes:
    """The top of a page."""
    view = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light")
    view.goto(page.as_uri())
    picture = view.screenshot()
    view.close()
    return picture


def part(browser: Browser, page: Path, selector: str) -> bytes:
    """One element of a page."""
    view = browser.new_page(viewport={"width": 1100, "height": 1000}, color_scheme="light")
    view.goto(page.as_uri())
    view.evaluate("document.querySelectorAll('details.part').forEach(part => { part.open = true; })")
    picture = view.locator(selector).first.screenshot()
    view.close()
    return picture


def small(picture: bytes) -> bytes:
    """The picture with 128 colours."""
    buffer = BytesIO()
    with Image.open(BytesIO(picture)) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def pictures(browser: Browser, demo: Path, folder: Path) -> dict[str, bytes]:
    """All pictures by name."""
    commanded(demo, "compare", "photodigits/1", "photodigits/3", "photodigits/4", "--out", str(folder / "compare.html"))
    commanded(demo, "site", "--out", str(folder / "site"))
    found = {
        "compare": page_one(browser, folder / "compare.html", (1100, 1100)),
        "register": page_one(browser, folder / "site" / "index.html", (1100, 960)),
    }
    for word, name in VERSIONS.items():
        page = demo / "grmu-demo" / name / "report.html"
        found[f"report-{word}"] = page_one(browser, page, (1100, 1180))
        found[f"report-{word}-charts"] = part(browser, page, "#charts")
    found["report-promoted-forgetting"] = part(
        browser, demo / "grmu-demo" / VERSIONS["promoted"] / "report.html", "#forgetting .figures"
    )
    blocked = demo / "grmu-demo" / "gradient-ascent" / "report.html"
    found["report-blocked-phone"] = page_one(browser, blocked, (390, 1100), dark=True)
    return found


@contextmanager
def mlflow_server(demo: Path) -> Iterator[str]:
    """Address of an MLflow server over the demo's store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backend = f"sqlite:///{demo}/mlruns/mlflow.db"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", "--backend-store-uri", backend]
    quiet = subprocess.DEVNULL
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=os.environ | QUIET) as process:
        try:
            for _ in range(STARTS):
                with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health"):
                    break
                time.sleep(1)
            yield address
        finally:
            process.terminate()


def mlflow_pages(browser: Browser, demo: Path) -> dict[str, bytes]:
    """MLflow's own pages of the first model, of its champion, and of the logged models of the audits."""
    from grmu_audit.tracking import open_store

    store = open_store(f"sqlite:///{demo}/mlruns/mlflow.db", root=demo / "mlruns")
    name = store.models()[0]
    champion = store.aliases(name)["champion"]
    pages = {
        "mlflow-model": (f"models/{name}", ["Champion:"], 900),
        "mlflow-version": (f"models/{name}/versions/{champion}", ["Was it forgotten?"], 1150),
        "mlflow-metrics": ("experiments/1/models", [f"{name}-{champion}", "FORGET_SHARE"], 700),
    }
    found = {}
    with mlflow_server(demo) as address:
        for name, (path, awaited, height) in pages.items():
            view = browser.new_page(viewport={"width": 1300, "height": height}, color_scheme="light")
            view.add_init_script(f"Object.entries({json.dumps(MLFLOW_STATE)}).forEach(([k, v]) => localStorage.setItem(k, v))")
            view.goto(f"{address}/#/{path}")
            for link in awaited[:-1]:  # a click leads on to the page that is wanted
                view.get_by_text(link).first.click(timeout=120_000)
            view.get_by_text(awaited[-1]).first.wait_for(timeout=120_000)
            view.wait_for_timeout(3000)  # what the page loads after its text
            found[name] = view.screenshot()
            view.close()
    return found


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, required=True, help="folder in which the demo was run")
    parser.add_argument("--write", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--only", choices=["reports", "mlflow"], help="one kind of pictures alone")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        demo = options.demo.resolve()
        taken = {} if options.only == "mlflow" else pictures(browser, demo, Path(folder))
        taken |= {} if options.only == "reports" else mlflow_pages(browser, demo)
        for name, picture in taken.items():
            write_atomic(options.write / f"{name}.png", small(picture))
            sys.stdout.write(f"{options.write / name}.png\n")
        browser.close()


if __name__ == "__main__":
    main()
