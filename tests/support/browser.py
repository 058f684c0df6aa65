"""Debian's chromium, axe-core from the npm registry, and tolerant comparison with golden pictures."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from support.system_packages import missing

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDTHS = (360, 768, 1280)
AXE_VERSION = "4.14.1"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "pictures"
SCALE = 0.2
"""Goldens are stored at a fifth of their size: letters blur, layout and colour remain."""
BAND = 24
"""Height of a band in blurred pixels: about one screen."""
TOLERANCE = 7.0
"""Largest mean difference of a band, in levels of 255."""
STRETCH = 0.03
"""Largest relative difference in height; fonts differ a little between machines."""


@contextmanager
def chromium() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        missing(f"{CHROMIUM} is missing: install Debian's chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


def axe_source(folder: Path) -> str:
    """axe-core's text, installed by npm into a folder of the tests."""
    npm = shutil.which("npm")
    if npm is None:
        missing("npm is missing: install it to run the accessibility tests with axe-core")
    command = [str(npm), "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder), f"axe-core@{AXE_VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    source = folder / "node_modules" / "axe-core" / "axe.min.js"
    if done.returncode or not source.is_file():
        missing(f"npm could not install axe-core {AXE_VERSION}: {done.stderr[-400:]}")
    return source.read_text(encoding="utf-8")


def violations(page: Any, source: str) -> list[str]:
    """What axe-core finds against WCAG A and AA, one line a rule with the first element."""
    page.evaluate(source)
    found = page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, preload: false, resultTypes: ['violations']})"
        ".then(r => r.violations.map(v => `${v.id}: ${v.nodes.length} x, ${v.nodes[0].html.slice(0, 200)}`))",
        RULES,
    )
    return list(found)


def unlike_golden(name: str, picture: bytes | Image.Image) -> str:
    """In what a picture differs from its golden, or an empty string; writes the golden where UPDATE_GOLDEN=1."""
    image = picture if isinstance(picture, Image.Image) else Image.open(BytesIO(picture))
    image = image.convert("RGB")
    small = image.resize((max(1, round(image.width * SCALE)), max(1, round(image.height * SCALE))), Image.Resampling.BOX)
    path = GOLDEN / f"{name}.png"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        small.quantize(64).save(path, optimize=True)
        return ""
    if not path.is_file():
        return f"no golden picture {path.name}: run the test once with UPDATE_GOLDEN=1 and look at it"
    golden = Image.open(path).convert("RGB")
    if small.width != golden.width or abs(small.height - golden.height) > STRETCH * golden.height:
        return f"{name}: width and height {small.size}, golden {golden.size}"
    found = difference(small.resize(golden.size, Image.Resampling.BOX), golden)
    return "" if found <= TOLERANCE else f"{name}: a band differs by {found:.1f}"


def difference(first: Image.Image, second: Image.Image) -> float:
    """Largest mean difference of a band of two pictures, in levels of 255, after a blur that forgives shifted letters."""
    blurred = [
        image.resize((max(1, image.width // 8), max(1, image.height // 8)), Image.Resampling.BOX) for image in (first, second)
    ]
    one, other = (np.asarray(image, dtype=float) for image in blurred)
    changed = np.abs(one - other).max(axis=2)
    bands = np.array_split(changed, max(1, round(len(changed) / BAND)))
    return max(float(band.mean()) for band in bands)


@dataclass(frozen=True)
class Seen:
    messages: list[str]
    """Console messages and page errors."""
    requests: list[str]
    """Every address requested, the page's own first."""
    text: str
    """Visible text."""


def visit(path: Path) -> Seen:
    """Open a file and look."""
    messages: list[str] = []
    requests: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        text = page.inner_text("body")
    return Seen(messages, requests, text)
