"""The report in a real browser: opens from a file, writes nothing to the console, requests nothing from the network."""

from dataclasses import replace
from datetime import date

import pytest
from support import audits
from support.browser import WIDTHS, axe_source, chromium, unlike_golden, violations

from grmu_audit.records import Decision
from grmu_audit.report import SiteEntry, SiteModel, SiteRequest, render_comparison, render_html, render_site

pytestmark = pytest.mark.browser

TODAY = date(2026, 3, 5)
PICTURED = ("pass", "breach", "inconclusive", "undefined", "multiclass", "rich")


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    return axe_source(tmp_path_factory.mktemp("axe"))


def register(text=""):
    entries = (
        SiteEntry("m/3", "unlearned", "miu + REWEIGHT", "pass", "PASS", "default", "2026-03-04 05:06 UTC", ("champion",)),
        SiteEntry("m/2", "unlearned", text or "ga", "breach", "BREACH", text or "strict", "2026-03-03 05:06 UTC", (), "#x"),
        SiteEntry("m/1", "pretrain", "", "not-judged", "NOT AUDITED", "", "", (), "", text),
    )
    requests = (SiteRequest(text or "R-1", "m/3", "2026-02-01", "2026-03-01", ""),)
    line = {"number": "1", "time": "2026-03-04T05:06:07+00:00", "kind": "promote", "version": "3", "actor": text or "ann"}
    return render_site([SiteModel(text or "m", entries, requests, (line,))], today=TODAY)


def comparison(text=""):
    shown = [audits.judged(decision) for decision in (Decision.PASS, Decision.BREACH, Decision.INCONCLUSIVE)]
    if text:
        shown = [replace(audits.hostile(text), subject=replace(audits.hostile(text).subject, version=str(i))) for i in range(3)]
    return render_comparison(shown, shown)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    for name, make in audits.ALL.items():
        (folder / f"{name}.html").write_text(render_html(make()), encoding="utf-8")
    for name, text in (("", ""), ("-hostile", audits.HOSTILE)):
        (folder / f"register{name}.html").write_text(register(text), encoding="utf-8")
        (folder / f"compare{name}.html").write_text(comparison(text), encoding="utf-8")
    return folder


@pytest.fixture
def visit(browser, pages):
    opened, said, requested = [], [], []

    def go(name, width=1280, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append(page)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: requested.append(request.url))
        page.goto((pages / f"{name}.html").as_uri())
        return page

    yield go
    for page in opened:
        page.close()
    assert said == []
    assert [url for url in requested if not url.startswith(("file://", "data:"))] == []
    assert len([url for url in requested if url.startswith("file://")]) == len(opened)


PAGES = [*sorted(audits.ALL), "register", "register-hostile", "compare", "compare-hostile"]


@pytest.mark.parametrize("name", PAGES)
def test_no_message_no_request_nothing_sticks_out_and_axe_finds_nothing(visit, axe, name):
    page = visit(name)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#verdict-word, #overview, #versions").first.is_visible()
    assert violations(page, axe) == []


@pytest.mark.parametrize("name", ["rich", "breach", "register", "compare"])
def test_axe_finds_nothing_in_the_dark_on_a_small_screen(visit, axe, name):
    assert violations(visit(name, 360, "dark"), axe) == []


def test_axe_finds_what_is_wrong(browser, axe):
    page = browser.new_page()
    page.set_content(
        "<html lang='en'><title>t</title><main><h1>x</h1><p style='color:#ccc;background:#fff'>pale</p></main></html>"
    )
    assert [line.split(":")[0] for line in violations(page, axe)] == ["color-contrast"]
    page.close()


@pytest.mark.parametrize("name", PICTURED)
@pytest.mark.parametrize("width", [360, 1280])
def test_looks_as_it_was_looked_at(visit, name, width):
    page = visit(name, width)
    assert unlike_golden(f"{name}-{width}", page.screenshot(full_page=True)) == ""


@pytest.mark.parametrize("name", ["register", "compare"])
def test_register_and_comparison_look_as_they_were_looked_at(visit, name):
    assert unlike_golden(f"{name}-dark", visit(name, 1280, "dark").screenshot(full_page=True)) == ""


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_prints_as_it_was_looked_at(visit, paper):
    import pypdfium2

    document = pypdfium2.PdfDocument(visit("rich").pdf(format=paper, prefer_css_page_size=False))
    words = "".join(document[i].get_textpage().get_text_bounded() for i in range(len(document)))
    assert words.count("Report ") >= len(document)
    assert f"1 / {len(document)}" in words
    assert len(document) < (8 if paper == "A4" else 9)
    for index in (0, 2):
        assert unlike_golden(f"print-{paper.lower()}-{index + 1}", document[index].render(scale=1.5).to_pil()) == ""


def test_the_golden_comparison_finds_a_change(visit, monkeypatch):
    monkeypatch.delenv("UPDATE_GOLDEN", raising=False)  # which would write the changed page over the golden picture
    found = unlike_golden("pass-1280", visit("breach").screenshot(full_page=True))
    assert "a band differs" in found or "height" in found


def test_the_register_is_searched_by_keyboard(visit):
    page = visit("register")
    page.locator("#search").focus()
    page.keyboard.type("miu")
    assert page.locator("tr[data-search]:visible").count() == 1
    assert page.locator("#count").inner_text() == "1 found"
    assert page.get_by_text("OVERDUE", exact=True).is_visible()


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
    page.locator("#charts figure:has(#chart-groups-title) summary").click()
    table = page.locator("#chart-groups-table").locator("xpath=..")
    assert table.is_visible()
    assert table.locator("tbody tr").count() == 4


def test_drawings_are_named_for_screen_readers(visit):
    page = visit("pass")
    page.locator("#charts summary").first.click()
    assert page.get_by_role("img", name="Test accuracy of each group").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1


def test_print_opens_the_annex_and_leaves_out_what_only_explains(visit):
    page = visit("pass")
    assert not page.locator("table.rules").is_visible()
    page.emulate_media(media="print")
    assert page.locator("table.rules").evaluate("e => e.getBoundingClientRect().height") > 0
    assert not page.locator("#chart-groups-table").is_visible()
    assert page.locator(".print-only").is_visible()


@pytest.mark.parametrize("name", PICTURED)
def test_the_answers_are_on_the_first_screen(visit, name):
    page = visit(name)
    page.set_viewport_size({"width": 1280, "height": 800})
    for answer in ("#verdict", "#forgotten", "#people", "#next-heading"):
        box = page.locator(answer).bounding_box()
        assert box["y"] + box["height"] <= 800, answer


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
