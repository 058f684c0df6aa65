from base64 import b64encode

import pytest
from support import audits

from grmu_audit.errors import InputError
from grmu_audit.records import Decision
from grmu_audit.report import render_html
from grmu_audit.report.content.branding import load_branding

SVG = b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'><script>alert(1)</script></svg>"


def brand(folder, text, logo=SVG):
    (folder / "logo.svg").write_bytes(logo)
    path = folder / "branding.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_organisation_logo_colours_and_footer_are_shown(tmp_path):
    text = "organisation: Müller & Söhne\nlogo: logo.svg\nfooter: <b>Internal</b>\n"
    text += "colours: {accent: '#0A5A9C', accent_dark: '#7cbcf5'}\n"
    page = render_html(audits.judged(Decision.PASS), branding=brand(tmp_path, text))
    assert "<bdi>Müller &amp; Söhne</bdi>" in page
    assert '<img class="logo" src="data:image/svg+xml;base64,' in page
    assert "&lt;b&gt;Internal&lt;/b&gt;" in page
    assert "<script" not in page
    assert "--accent: #0a5a9c" in page
    assert page.index("--accent: #7cbcf5; } }") > page.index("--accent: #0a5a9c; }")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "holds list instead of a mapping"),
        ("organization: x", "unknown key 'organization'; known: colours, footer, logo, organisation"),
        ("logo: none.png", "the logo cannot be read"),
        ("colours: {accent: '#7cbcf5'}", "contrast of 1.9"),
        ("colours: {accent: 'red; } body { display: none'}", "give a colour such as"),
        ("colours: {page: '#ffffff'}", "unknown colour 'page'"),
        ("colours: red", "holds str instead of a mapping"),
        ("{", "not a readable branding file"),
    ],
)
def test_a_wrong_branding_file_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        render_html(audits.judged(Decision.PASS), branding=brand(tmp_path, text))


@pytest.mark.parametrize(
    ("logo", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"RIFF\x04\x00\x00\x00WEBP", "webp"),
        (SVG, "svg+xml"),
    ],
)
def test_the_kind_of_a_logo_is_read_from_its_content(tmp_path, logo, kind):
    found = load_branding(brand(tmp_path, "logo: logo.svg", logo))
    assert found["logo"] == f"data:image/{kind};base64,{b64encode(logo).decode()}"


@pytest.mark.parametrize("logo", [b"RIFF\x04\x00\x00\x00WAVE", b"\x89PN", b"\xff\xd8"])
def test_a_file_that_only_begins_like_a_picture_is_no_logo(tmp_path, logo):
    with pytest.raises(InputError, match="none of png, jpeg, webp and svg"):
        load_branding(brand(tmp_path, "logo: logo.svg", logo))


def test_a_colour_for_light_pages_alone_leaves_dark_ones_as_they_are(tmp_path):
    light = "@media screen and (prefers-color-scheme: light) { :root { --accent: #0a5a9c; } }"
    assert load_branding(brand(tmp_path, "colours: {accent: '#0A5A9C'}"))["style"] == light
    dark = "@media screen and (prefers-color-scheme: dark) { :root { --accent: #7cbcf5; } }"
    assert load_branding(brand(tmp_path, "colours: {accent_dark: '#7cbcf5'}"))["style"] == dark
    both = load_branding(brand(tmp_path, "colours: {accent: '#0A5A9C', accent_dark: '#7cbcf5'}"))["style"]
    assert both == f":root {{ --accent: #0a5a9c; }} {dark}"


@pytest.mark.parametrize(
    ("logo", "message"),
    [(b"GIF89a", "none of png, jpeg, webp and svg"), (SVG * 2000, "the 100,000 bytes that such a file may have")],
)
def test_a_logo_is_a_small_picture(tmp_path, logo, message):
    with pytest.raises(InputError, match=message):
        render_html(audits.judged(Decision.PASS), branding=brand(tmp_path, "logo: logo.svg", logo))
