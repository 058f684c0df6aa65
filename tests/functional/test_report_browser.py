"""The report in a real browser: opens from a file, says nothing on the console, asks nobody for anything."""

import pytest
from support import audits
from support.browser import chromium

from grmu_audit.report import render_html

WIDTHS = (360, 768, 1280)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    for name, make in audits.ALL.items():
        (folder / f"{name}.html").write_text(render_html(make()), encoding="utf-8")
    return folder


@pytest.fixture
def visit(browser, pages):
    opened, said, asked = [], [], []

    def go(name, width=1280, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append(page)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((pages / f"{name}.html").as_uri())
        return page

    yield go
    for page in opened:
        page.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []
    assert len([url for url in asked if url.startswith("file://")]) == len(opened)


@pytest.mark.parametrize("name", sorted(audits.ALL))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_message_no_request_and_nothing_sticks_out(visit, name, scheme):
    for width in WIDTHS:
        page = visit(name, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#verdict-word").is_visible()


def test_dark_and_light_differ(visit):
    ground = "getComputedStyle(document.body).backgroundColor"
    assert visit("pass", scheme="light").evaluate(ground) != visit("pass", scheme="dark").evaluate(ground)


def test_the_keyboard_reaches_the_skip_link_first_and_then_every_table_and_link(visit):
    page = visit("breach")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = 1
    wanted = page.evaluate(
        "[...document.querySelectorAll('a, summary, [tabindex=\"0\"]')]"
        ".filter(e => e.checkVisibility({contentVisibilityAuto: true})).length"
    )
    for _ in range(wanted - 1):
        page.keyboard.press("Tab")
        reached += page.evaluate("document.activeElement !== document.body")
    assert reached == wanted > 10


def test_a_drawing_s_table_opens_and_names_each_group(visit):
    page = visit("pass")
    page.locator("#charts summary").first.click()
    table = page.locator("#chart-groups-table").locator("xpath=..")
    assert table.is_visible()
    assert table.locator("tbody tr").count() == 4


def test_drawings_are_named_for_screen_readers(visit):
    page = visit("pass")
    assert page.get_by_role("img", name="Test accuracy of each group").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1


def test_print_shows_the_tables_behind_the_drawings(visit):
    page = visit("pass")
    table = page.locator("#chart-groups-table")
    assert not table.is_visible()
    page.emulate_media(media="print")
    assert table.evaluate("e => e.getBoundingClientRect().height") > 0
    assert len(page.pdf(format="A4")) > 20_000


def test_opens_in_a_sandboxed_frame(browser, pages):
    said = []
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.set_content('<iframe sandbox="allow-scripts" width="800" height="600"></iframe>')
    page.evaluate("html => { document.querySelector('iframe').srcdoc = html }", (pages / "breach.html").read_text())
    frame = page.frame_locator("iframe")
    frame.locator("#verdict-word").wait_for()
    assert frame.locator("#verdict-word").inner_text() == "BREACH"
    page.close()
    assert said == []
