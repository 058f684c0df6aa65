import cProfile
import os
import pstats
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support import audits

from grmu_audit.errors import InputError
from grmu_audit.records import Decision
from grmu_audit.report import render_html
from grmu_audit.utils.resources import template_dir

VOID = {"meta", "link", "br", "hr", "img", "input"}
BLOCKS = ["request", "forget-set", "systems", "models", "data", "method", "utility", "forgetting", "robustness", "quality"]
BLOCKS += ["decision", "sign-off", "record", "not-measured", "limits", "rules"]


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(params=sorted(audits.ALL), scope="module")
def page_text(request):
    return render_html(audits.ALL[request.param]())


def test_is_well_formed_and_loads_nothing(page_text):
    page = Page(page_text)
    assert page.open == []
    assert "script" not in page.tags
    assert "iframe" not in page.tags
    handlers = [key for _, key, _ in page.attributes if key.startswith("on")]
    assert handlers == []
    links = [value for _, key, value in page.attributes if key in ("href", "src", "xlink:href", "action")]
    assert links
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert "http" not in page_text.replace("http-equiv", "").replace("http://www.w3.org/", "")
    assert "default-src 'none'" in page_text


def test_ids_are_unique_and_references_resolve(page_text):
    page = Page(page_text)
    ids = [value for _, key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    pointed = {value[1:] for _, key, value in page.attributes if key in ("href", "xlink:href") and value.startswith("#")}
    for _, key, value in page.attributes:
        if key in ("aria-labelledby", "aria-describedby"):
            pointed |= set(value.split())
    assert pointed <= set(ids)


def test_every_block_is_present(page_text):
    assert all(f'id="{block}"' in page_text for block in BLOCKS)
    assert 'lang="en"' in page_text


def test_stays_under_the_size_budget(page_text):
    assert len(page_text.encode()) < 500_000


def test_hostile_names_are_text_only():
    text = render_html(audits.hostile())
    assert "<script" not in text
    assert "{{7*7}}" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x00" not in text


def test_long_names_are_cut_and_say_so():
    text = render_html(audits.hostile("x" * 10_000))
    assert "x" * 1300 not in text
    assert "(10,000 characters)" in text


def test_undefined_is_never_shown_as_a_number():
    text = render_html(audits.everything_undefined())
    assert "undefined: no sample of the forget set (0 of 0)" in text
    assert "nan" not in " ".join(Page(text).words).lower().split()
    assert "chart-groups" not in text
    assert "not recorded" in text


def test_request_ids_and_small_cells_do_not_appear():
    text = render_html(audits.judged(Decision.PASS))
    assert "secret-id-1" not in text
    row = re.search(
        r'<th role="rowheader"[^>]*>\s*<bdi>digit from 5, white paper</bdi>.*?</tr>', text[text.index('id="forget-set"') :], re.S
    )
    cells = re.findall(r"<td[^>]*>\s*<bdi>(.*?)</bdi>", row.group(), re.S)
    assert cells == ["301", "27.1\xa0%", "&lt; 5", "–"]


def test_decisions_are_words_shapes_and_colours():
    for decision, path in (
        (Decision.PASS, '<circle cx="12" cy="12" r="10.5"'),
        (Decision.BREACH, "M7.6 1.5"),
        (Decision.INCONCLUSIVE, "M12 1.8"),
    ):
        text = render_html(audits.judged(decision))
        banner = text[text.index('id="verdict"') : text.index("</section>")]
        assert f">{decision}</h2>" in banner
        assert path in banner
        assert f"state-{decision.lower()}" in banner


def test_unjudged_claims_nothing():
    text = render_html(audits.unjudged())
    banner = text[text.index('id="verdict"') : text.index("</section>")]
    assert "NOT JUDGED" in banner
    assert "PASS" not in banner


def test_no_claim_that_was_not_measured():
    words = " ".join(" ".join(Page(render_html(audits.judged(Decision.PASS))).words).split()).lower()
    for claim in ("erased", "unbiased", "compliant"):
        assert claim not in words
    assert "met policy “default@d00dd00dd00d” on photodigits (n = 497 test samples)" in words


def test_same_bytes_in_another_process_time_zone_and_hash_seed():
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); from support import audits;"
        "from grmu_audit.report import render_html; print(hashlib.sha256(render_html(audits.hostile()).encode()).hexdigest())"
    )
    tests = str(Path(__file__).resolve().parents[3])
    found = set()
    for zone, seed in (("UTC", "0"), ("Asia/Kathmandu", "7")):
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code, tests],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(tests).parent,
        )
        found.add(done.stdout.strip())
    assert len(found) == 1
    assert len(found.pop()) == 64


def test_rendering_63_groups_makes_few_calls():
    audit = audits.many_groups()
    render_html(audit)
    with cProfile.Profile() as profile:
        text = render_html(audit)
    assert pstats.Stats(profile).total_calls < 2_000_000  # 0.9 million are needed
    assert text.count("<tr") > 63


def test_own_template_sees_the_view(tmp_path):
    (tmp_path / "report.html.j2").write_text("<p>{{ view.word }} {{ view.subject }} v{{ view.view_version }}</p>")
    assert render_html(audits.judged(Decision.PASS), template_dir=tmp_path) == "<p>PASS photodigits-v1/4 v1</p>\n"


def test_own_sentences_and_style_go_first(tmp_path):
    (tmp_path / "en.yaml").write_text("title: Prüfbericht\nlanguage: de\n")
    (tmp_path / "style.css").write_text("body { color: #123456 }")
    text = render_html(audits.judged(Decision.PASS), template_dir=tmp_path)
    assert "Prüfbericht" in text
    assert 'lang="de"' in text
    assert "#123456" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("report.html.j2", "a\n{{ view.colour }}", r"report.html.j2:2: UndefinedError: .*'colour'"),
        ("report.html.j2", "{% if %}", r"report.html.j2:1: TemplateSyntaxError"),
        ("style.css", "</STYLE><b>", r"would end the style sheet"),
        ("en.yaml", "- a list", r"holds list instead of a mapping"),
        ("en.yaml", "data_phrase: '{nam}'", r"'data_phrase' has a placeholder that cannot be filled: 'nam'"),
        ("en.yaml", "data_phrase: '{n.none}'", r"'data_phrase' has a placeholder that cannot be filled: .* no attribute 'none'"),
        ("en.yaml", "data_phrase: '{n[a]}'", r"'data_phrase' has a placeholder that cannot be filled: string indices"),
    ],
)
def test_a_wrong_template_folder_is_one_clear_error(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        render_html(audits.judged(Decision.PASS), template_dir=tmp_path)


def test_a_missing_template_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no template folder"):
        render_html(audits.judged(Decision.PASS), template_dir=tmp_path / "none")


def test_incomplete_values_name_the_empty_cell():
    assert "incomplete: without class 2, attribute 0" in render_html(audits.multi_class())


def test_rendering_loads_no_heavy_library():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from support import audits; from grmu_audit.report import render;"
        "[render(audits.multi_class(), f) for f in ('html', 'text', 'sarif')];"
        "print(sorted({'torch', 'mlflow', 'great_expectations', 'torchvision', 'safetensors'} & set(sys.modules)))"
    )
    tests = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code, str(tests)], capture_output=True, text=True, check=True, cwd=tests.parent)
    assert done.stdout.strip() == "[]"


def test_a_waived_breach_is_shown_as_waived():
    base = audits.judged(Decision.BREACH)
    rules = tuple(replace(rule, waived=rule.decision is Decision.BREACH) for rule in base.verdict.rules)
    waiver = {"rule": "dominant-group-accuracy-kept", "reason": "Ticket GOV-112", "expires": "2027-01-31"}
    text = render_html(base.with_verdict(replace(base.verdict, decision=Decision.PASS, rules=rules, waivers=(waiver,))))
    assert "state-waived" in text
    assert "Ticket GOV-112" in text


def _tokens(css):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", css))


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(first, second):
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_the_contrast_of_wcag_aa(scheme):
    css = (template_dir() / "style.css").read_text()
    light, dark = css.split("@media screen and (prefers-color-scheme: dark)")
    tokens = _tokens(light) if scheme == "light" else _tokens(dark[: dark.index("\n}")])
    text = [(ink, ground) for ink in ("ink", "muted", "accent") for ground in ("page", "surface")]
    text += [(state, f"{state}-soft") for state in ("pass", "breach", "inconclusive")]
    text += [("ink", f"{state}-soft") for state in ("pass", "breach", "inconclusive")] + [("muted", "neutral-soft")]
    assert {
        pair: round(_contrast(*(tokens[name] for name in pair)), 2)
        for pair in text
        if _contrast(*(tokens[n] for n in pair)) < 4.5
    } == {}
    marks = [(mark, "surface") for mark in ("before", "reference", "after", "pass", "breach", "inconclusive")]
    marks += [(mark, "allowed") for mark in ("pass", "breach", "inconclusive", "ink")]
    assert {pair for pair in marks if _contrast(*(tokens[name] for name in pair)) < 3} == set()
