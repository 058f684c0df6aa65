import re
import sys
from dataclasses import replace

import pytest
from support import audits

from grmu_audit.errors import InputError
from grmu_audit.metrics.catalog import BUILT_IN, Level, Topic, topic
from grmu_audit.metrics.catalog.spec import MetricSpec
from grmu_audit.metrics.outcome import MetricPlugin
from grmu_audit.records import CANDIDATE, Decision, Group, MetricValue
from grmu_audit.report import build_view
from grmu_audit.report.charts.rule_charts import allowed_range
from grmu_audit.report.charts.svg import draw
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.rules import rule_row
from grmu_audit.report.content.sentences import bound_words
from grmu_audit.report.content.tables import shift_table, splits_table, suppressed_cells
from grmu_audit.report.content.view_model import View
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import safe_sentence
from grmu_audit.report.wording.strings import load_strings
from grmu_audit.utils.plugins import Registry


def test_the_view_has_exactly_its_documented_fields():
    assert set(build_view(audits.judged(Decision.PASS))) == set(View.__annotations__)


def test_rules_come_worst_first():
    view = build_view(audits.judged(Decision.BREACH))
    assert [row["state"] for row in view["rules"]] == ["breach", "breach", "inconclusive", "pass", "pass"]
    assert view["because"] == "2 of 4 blocking rules breached: dominant-group-accuracy-kept, forgotten."
    why = next(item["value"] for item in view["summary"] if item["label"] == "Why this verdict")
    assert "Accuracy for the group that most of the samples to forget come from fell by 49.6\xa0points" in why
    assert "(likely 42.8 to 56.1\xa0points). The policy allows a fall of at most 5.0\xa0points." in why


def test_numbers_travel_with_interval_and_n():
    view = build_view(audits.judged(Decision.PASS))
    name, n, before, reference, after, change = view["group_table"]["rows"][1]
    assert (name, n) == ("digit below 5, dark paper", "105")
    assert [cell.count("\n") for cell in (before, reference, after, change)] == [1, 1, 1, 1]
    assert after.startswith("89.7\xa0%\n")
    assert change.startswith("−1.1\xa0pts\n")


def test_a_policy_without_rules_passes_nothing():
    base = audits.judged(Decision.PASS)
    view = build_view(base.with_verdict(replace(base.verdict, decision=Decision.INCONCLUSIVE, rules=(), reason="")))
    assert view["word"] == "INCONCLUSIVE"
    assert view["because"] == "The policy has no rule that applies."


def test_values_on_few_samples_are_hidden():
    few = MetricValue("accuracy", CANDIDATE, 1.0, 3, group=Group(0, 0), interval=(0.4, 1.0))
    assert numbers.estimate(few) == "suppressed: rests on fewer than 5 samples"
    assert numbers.interval_of(few) == ""
    rule = replace(audits.rules(Decision.PASS)[0], n=4)
    row = rule_row(rule, Lookup.of(audits.unjudged()), load_strings())
    assert (row["observed"], row["interval"], row["n"]) == ("suppressed: rests on fewer than 5 samples", "", "< 5")


@pytest.mark.parametrize(
    ("counts", "hidden"),
    [
        ([41, 3, 0, 9], [1, 3]),
        ([41, 3, 2, 9], [1, 2]),
        ([3, 0, 0], [0]),
        ([0, 0], []),
        ([5, 6], []),
        ([], []),
    ],
)
def test_one_small_cell_cannot_be_worked_out_from_its_total(counts, hidden):
    assert [i for i, flag in enumerate(suppressed_cells(counts)) if flag] == hidden


def test_retain_counts_do_not_give_a_hidden_forget_count_away():
    table = splits_table(Lookup.of(audits.judged(Decision.PASS)), load_strings())
    by_name = {row[0]: row for row in table["rows"]}
    assert by_name["digit from 5, white paper"][1:4] == ["301", "suppressed", "< 5"]
    assert by_name["digit below 5, dark paper"][1:4] == ["240", "suppressed", "suppressed"]
    assert by_name["digit below 5, white paper"][1:4] == ["412", "412", "0"]


def test_the_group_shift_does_not_give_a_hidden_forget_count_away():
    rows = {row[0]: row[1:] for row in shift_table(Lookup.of(audits.judged(Decision.PASS)), load_strings())["rows"]}
    assert rows["digit from 5, white paper"] == ["27.1\xa0%", "suppressed", "suppressed"]
    assert rows["digit below 5, dark paper"] == ["21.6\xa0%", "suppressed", "suppressed"]
    assert rows["digit below 5, white paper"] == ["37.1\xa0%", "38.5\xa0%", "1"]


def test_a_failed_check_says_what_to_do():
    base = audits.judged(Decision.PASS)
    failed = replace(base.data_quality.results[1], passed=False, advice="remove the double rows")
    view = build_view(replace(base, data_quality=replace(base.data_quality, results=(failed,))))
    quality = next(block for block in view["blocks"] if block["id"] == "quality")
    assert quality["tables"][0]["rows"] == [["sample ids are unique", "all", "FAILED", "1,670 of 1,670\nremove the double rows"]]
    assert quality["facts"][0]["value"] == "1 checks: 1 failed, 0 with a warning."


def test_bounds_in_words():
    strings, rule = load_strings(), audits.rules(Decision.PASS)[0]
    assert bound_words(rule, "fraction", strings) == "may fall by at most 5.0\xa0points against the version before"
    both = replace(rule, bound={"within": [0.4, 0.6]}, compare="absolute")
    assert bound_words(both, "fraction", strings) == "from 40.0\xa0% to 60.0\xa0%"
    gap = replace(rule, bound={"max_gap": 0.1}, compare="reference")
    assert bound_words(gap, "fraction", strings) == "may differ by at most 10.0\xa0points against the retrained model"
    for kind, edge in (
        ("min_change", 0.1),
        ("max_change", 0.1),
        ("max_change", -0.1),
        ("min", 0.1),
        ("min", -0.1),
        ("max", -0.1),
    ):
        words = bound_words(replace(rule, bound={kind: edge}), "fraction", strings)
        assert re.search(r"(must|may) .* (least|most) 10\.0", words), words


def test_allowed_ranges():
    assert allowed_range({"min": 0.5, "max": 0.7}) == (0.5, 0.7)
    assert allowed_range({"within": [0.4, 0.6]}) == (0.4, 0.6)
    assert allowed_range({"min_change": -0.05}) == (-0.05, float("inf"))


def test_clean_keeps_one_line_without_control_or_direction_changes():
    cleaned = safe_sentence(audits.HOSTILE)
    assert not set(cleaned) & set("\x00\x1b\n\u202e\u2066")
    assert "🙂" in cleaned
    assert safe_sentence("\ud800x") == "\ufffdx"


def test_what_was_asked_names_no_group_where_none_is_known():
    base = audits.judged(Decision.PASS)

    def asked(audit):
        return next(fact["value"] for fact in build_view(audit)["summary"] if "To remove" in fact["value"])

    unknown = replace(base, forget=replace(base.forget, dominant_groups=()))
    assert asked(unknown) == "To remove what the model photodigits-v1/1 learned from 41 training samples."
    assert asked(base).endswith("41 training samples, most of them from the group “digit below 5, dark paper”.")


def test_columns_in_which_nothing_is_recorded_are_left_out():
    base = audits.judged(Decision.PASS)
    alone = replace(base, metrics=tuple(v for v in base.metrics if v.subject == CANDIDATE), baseline=None, references=())
    view = build_view(alone)
    assert [column["title"] for column in view["group_table"]["columns"]] == ["Group", "Test samples", "After"]
    assert all(len(row) == 3 for row in view["group_table"]["rows"])
    models = next(block for block in view["blocks"] if block["id"] == "models")
    assert models["missing"] == ["Version before unlearning", "Retrained reference"]


def test_two_references_have_distinct_headings():
    titles = [column["title"] for column in build_view(audits.multi_class())["group_table"]["columns"]]
    assert titles == ["Group", "Test samples", "Before", "Retrained", "Retrained + REWEIGHT", "After"]


def test_a_number_that_is_not_finite_is_an_error_not_a_report():
    base = audits.judged(Decision.PASS)
    broken = replace(base, metrics=(replace(base.metrics[0], value=float("nan")),))
    with pytest.raises(InputError, match="nan"):
        build_view(broken)


def test_undefined_values_are_named_as_not_measured():
    rows = build_view(audits.judged(Decision.PASS))["not_measured"]["rows"]
    assert [
        "Membership attack at 0.1 % false positives\nMIA_TPR_01",
        "41 forget samples cannot resolve a false-positive rate of 0.1 %",
    ] in rows
    assert ["How fast the forget set can be relearned", "not part of the quick profile"] in rows


def test_a_drawing_is_reproducible_titled_and_without_addresses():
    def paint(axes):
        axes.plot([0, 10], [5, 5], color="#010101")
        axes.text(0, 8, "$x_1$ <b>", color="#010102")

    first, second = (draw("chart-x", 20, paint, title="<T>", description="D & E") for _ in range(2))
    assert first == second
    assert '<title id="chart-x-title">&lt;T&gt;</title><desc id="chart-x-desc">D &amp; E</desc>' in first
    assert "$x_1$ &lt;b&gt;" in first
    assert "currentColor" in first
    assert "purl.org" not in first


def test_every_number_of_deeper_levels_is_in_forgetting_or_robustness() -> None:
    deeper = [metric for metric in BUILT_IN.values() if metric.level is not Level.QUICK]
    assert len(deeper) > 10
    assert {metric.topic for metric in deeper} == {Topic.FORGETTING, Topic.ROBUSTNESS}
    assert {topic(name) for name in ("AA@0.03137", "FAIRNESS_GAP_GROUP", "FGSM@0.004")} == {Topic.ROBUSTNESS}
    assert {topic(name) for name in ("LIRA_AUC", "RULI_AUC", "PROTO", "JS")} == {Topic.FORGETTING}
    assert Topic.OTHER not in {metric.topic for metric in BUILT_IN.values()}


@pytest.fixture
def third_party(monkeypatch):
    """Third-party metrics of these fields, and the blocks of a report that holds a value of each."""

    def blocks(*fields):
        plugins = Registry("metric", "grmu_audit.none")
        monkeypatch.setattr(sys.modules["grmu_audit.metrics.catalog"], "PLUGINS", plugins)
        base = audits.judged(Decision.PASS)
        values = []
        for more in fields:
            spec = MetricSpec(**{"title": "T", "says": "S.", "hides": "H.", "formula": "f", "source": "s", "needs": "n"} | more)
            plugins.add(spec.name, MetricPlugin(spec, measure=lambda checked: None))
            values.append(audits.proportion(spec.name, 0.4, 100))
        view = build_view(replace(base, metrics=(*base.metrics, *values)))
        return {b["id"]: [row[0].partition("\n")[0] for table in b["tables"] for row in table["rows"]] for b in view["blocks"]}

    return blocks


def test_a_third_party_metric_is_in_the_section_of_its_topic(third_party):
    # the name begins like an attack's, which is no matter
    blocks = third_party({"name": "PGD_FREE_LEAK", "topic": "forgetting"}, {"name": "MIA_LIKE_GAP", "topic": Topic.UTILITY})
    assert "PGD_FREE_LEAK" in blocks["forgetting"]
    assert "MIA_LIKE_GAP" in blocks["utility"]
    assert "PGD_FREE_LEAK" not in blocks["robustness"] + blocks["utility"]
    assert "other" not in blocks


def test_a_third_party_metric_without_a_topic_has_a_section_of_its_own(third_party):
    blocks = third_party({"name": "CARBON"})
    assert blocks["other"] == ["CARBON", "CARBON"]  # its value, and what it says
    assert "CARBON" not in blocks["utility"]


@pytest.mark.parametrize("more", [{"topic": "robustnes"}, {"level": "deeep"}])
def test_a_level_or_topic_that_does_not_exist_is_refused(third_party, more):
    with pytest.raises(InputError, match="did you mean"):
        third_party({"name": "NEW", **more})


def test_a_metric_outside_the_catalogue_is_with_the_other_metrics():
    base = audits.judged(Decision.PASS)
    view = build_view(replace(base, metrics=(*base.metrics, audits.proportion("UNKNOWN", 0.4, 100))))
    (other,) = (block for block in view["blocks"] if block["id"] == "other")
    assert [row[0] for row in other["tables"][0]["rows"]] == ["UNKNOWN"]
