"""A page in Debian's chromium: what it said, what it asked for, what it shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


@dataclass(frozen=True)
class Seen:
    messages: list[str]
    """Console messages, page errors and dialogs."""
    requests: list[str]
    """Every address asked for, the page's own first."""
    text: str
    """Visible text."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A running browser; skips where there is none, fails where it was promised."""
    if not Path(CHROMIUM).exists():
        if os.environ.get("GRMU_AUDIT_REQUIRE_SYSTEM") == "1":
            pytest.fail(f"{CHROMIUM} is missing: install Debian's chromium")
        pytest.skip(f"{CHROMIUM} is missing: install Debian's chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


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
