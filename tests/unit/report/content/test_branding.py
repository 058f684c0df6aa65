import pytest
from support import audits

from grmu_audit.errors import InputError
from grmu_audit.records import Decision
from grmu_audit.report import render_html

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
    ("logo", "message"),
    [(b"GIF89a", "none of png, jpeg, webp and svg"), (SVG * 2000, "the 100,000 bytes that such a file may have")],
)
def test_a_logo_is_a_small_picture(tmp_path, logo, message):
    with pytest.raises(InputError, match=message):
        render_html(audits.judged(Decision.PASS), branding=brand(tmp_path, "logo: logo.svg", logo))
