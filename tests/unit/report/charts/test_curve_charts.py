from dataclasses import replace

import pytest
from support import audits

from grmu_audit.records import BASELINE, CANDIDATE, Audit, Decision, MetricValue
from grmu_audit.report import build_view, render_html
from grmu_audit.report.charts import build_charts
from grmu_audit.report.charts.curve_charts import draw_layers, draw_losses, draw_radius
from grmu_audit.report.content.curve_data import epochs, layers, losses, radii, returns, rocs
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.wording.strings import load_strings


def test_a_rich_audit_draws_every_chart_with_a_table_of_its_numbers():
    audit = audits.rich()
    drawn = build_charts(Lookup.of(audit), load_strings())
    assert [name for name, drawing in drawn.items() if drawing is None] == ["requests", "lineage"], "it has one request"
    view = build_view(audit)
    tables = view["forgetting"]["figures"] + view["figures"] + [figure for block in view["blocks"] for figure in block["figures"]]
    assert {figure["chart"] for figure in tables} == set(drawn) - {"requests", "lineage"}
    for figure in tables:
        assert all(len(row) == len(figure["table"]["columns"]) for row in figure["table"]["rows"])
    page = render_html(audit)
    assert page.count('<svg class="chart"') == len(drawn) - 2
    assert page.count("<title id=") == page.count("<desc id=") == len(drawn) - 2


def test_what_is_not_recorded_is_said_in_its_block():
    view = build_view(audits.judged(Decision.PASS))
    missing = {block["id"]: block["missing"] for block in view["blocks"]}
    assert missing["forgetting"] == [
        "Losses of forget, retain and unseen samples",
        "ROC of the membership attack",
        "Does it come back?",
    ]
    assert missing["robustness"] == ["Fairness-gap by layer", "Accuracy under attack by radius"]
    assert "Training curves" in missing["method"]


def test_curves_are_read_by_subject():
    found = Lookup.of(audits.rich())
    assert losses(found)["candidate"].shares["forget"][:2] == [0.0, 8 / 41]
    assert rocs(found)["baseline"].operating[1] == (0.1, 0.35, "")
    assert epochs(found)["candidate"]["loss_retain"][1] == (2.0, 0.1)
    assert "learning_rate" not in epochs(found)["baseline"]
    assert radii(found)["PGD"]["candidate"][0][0] == 0.0
    assert [radius for radius, _ in radii(found)["FGSM"]["baseline"]] == [0.0, 0.004, 0.016, 0.031]
    assert returns(found)["candidate"][1] == (0.55, 0.45, 0.65)
    assert len(returns(found)["reference#1"]) == 6
    few = tuple(replace(m, n=4) if m.name == "RETURN_ACC" else m for m in found.audit.metrics)
    assert returns(Lookup.of(replace(found.audit, metrics=few))) == {}
    assert list(layers(found)["candidate"]) == [f"stage{i}.norm" for i in range(1, 6)]


def test_a_chart_leaves_out_what_one_version_does_not_hold():
    """Marks or lines of the version before, in its colour, with and without its value."""
    rich, strings = audits.rich(), load_strings()
    layers = {f"stage{i}.norm": 0.1 * i for i in range(1, 5)}  # the fifth was not measured
    changed = [
        replace(v, details={"layers": layers}) if v.name == "FAIRNESS_GAP" and v.subject == BASELINE else v for v in rich.metrics
    ]
    metrics = tuple(v for v in changed if not (v.name.startswith("PGD@") and v.subject == BASELINE))
    losses = rich.curves["losses"]
    counts = {part: cells for part, cells in losses["baseline"]["counts"].items() if part != "unseen"}
    curves = {**rich.curves, "losses": {**losses, "baseline": {**losses["baseline"], "counts": counts}}}
    whole, part = Lookup.of(rich), Lookup.of(replace(rich, metrics=metrics, curves=curves))
    for draw, colour, fewer in (
        (draw_losses, "var(--reference)", 1),
        (draw_layers, "var(--before)", 1),
        (draw_radius, "var(--before)", 5),  # a line and its four marks
    ):
        count = [draw(found, strings).svg.count(colour) for found in (whole, part)]
        assert count[0] - count[1] == fewer, (draw.__name__, count)
        assert count[1] > 0, draw.__name__


def test_the_gap_of_a_layer_is_read_from_values_of_its_own_too():
    gaps = [MetricValue(f"FAIRNESS_GAP@norm{i}", CANDIDATE, gap, 497) for i, gap in ((1, 0.25), (2, None), (3, 0.5))]
    found = Lookup.of(replace(audits.unjudged(), metrics=tuple(gaps)))
    assert layers(found) == {"candidate": {"norm1": 0.25, "norm3": 0.5}}


@pytest.mark.parametrize(
    "odd",
    [
        {"losses": 3, "roc": [], "training": "x"},
        {"losses": {"candidate": {"edges": [1, 1], "counts": {}}}, "roc": {"candidate": {"fpr": [0], "tpr": [0]}}},
        {"losses": {"candidate": {"edges": [0.1, 1.0], "counts": {"forget": ["x"], "retain": [-5], "unseen": None}}}},
        {
            "roc": {"candidate": {"fpr": ["a", "b"], "tpr": [0, 1], "operating": 5}},
            "training": {"candidate": [3, {"epoch": "x"}]},
        },
    ],
)
def test_odd_curves_are_left_out_and_break_nothing(odd):
    page = render_html(replace(audits.judged(Decision.PASS), curves=odd))
    assert "chart-losses" not in page
    assert "chart-roc" not in page
    assert "chart-training" not in page


def test_an_audit_without_curves_still_reads():
    tree = audits.rich().to_json()
    assert Audit.from_json(tree) == audits.rich()
    del tree["curves"]
    assert Audit.from_json(tree).curves == {}
