from __future__ import annotations

import struct

from support.benchmarks import row, study

from grmu_audit.report.benchmarks.figures import FIGURES, draw_all
from grmu_audit.report.benchmarks.summary import cells_of


def rows_for_all() -> list:  # type: ignore[type-arg]
    extras = {
        "layers": ["a", "b"],
        "fairness_gap": [0.1, None],
        "fgsm": {"FGSM@0.03137": 0.3},
        "returned": {"epoch 0": 0.2, "epoch 1": 0.4},
    }
    more = [row(title, seed, request=f"g{groups}", groups=groups) for title in ("untouched", "ceiling", "miu + REWEIGHT")
            for groups in (1, 9, 25) for seed in (0, 1)]  # fmt: skip
    option = [row(f"miu ({value})", request="lambda", option={"lambda_mi": value}) for value in (0.1, 1.0, 10.0)]
    white = [row(title, request="white", extras=extras) for title in ("untouched", "ceiling", "ft")]
    return [*study(), *more, *option, row("untouched", request="lambda"), *white]


def test_every_figure_is_drawn_the_same_twice() -> None:
    cells = cells_of(rows_for_all())
    first, second = draw_all(cells, list(FIGURES)), draw_all(cells, list(FIGURES))
    assert {one.name for one in first} == {
        "ratio-ga", "ratio-gap", "reweight", "groups-0.5", "option", "robustness-white-0.5", "cost", "durability",
    }  # fmt: skip
    for one, other in zip(first, second, strict=True):
        assert (one.svg, one.png) == (other.svg, other.png)
        assert one.svg.startswith(b"<?xml")
        assert b"<dc:date>" not in one.svg
        assert struct.unpack(">4s", one.png[1:5].ljust(4))[0][:3] == b"PNG"


def test_the_callers_configuration_changes_nothing() -> None:
    import matplotlib as mpl

    cells = cells_of(study())
    plain = draw_all(cells, ["ratio"])
    with mpl.rc_context({"svg.hashsalt": "other", "font.size": 20}):
        assert [one.svg for one in draw_all(cells, ["ratio"])] == [one.svg for one in plain]


def test_a_request_without_a_number_of_groups_is_not_among_those_with_one() -> None:
    rows = [row(title, request=f"g{groups}", groups=groups) for title in ("untouched", "miu + REWEIGHT") for groups in (1, 9)]
    unknown = [row("untouched", request="all", groups=0)]
    (plain,), (beside,) = (draw_all(cells_of(found), ["groups"]) for found in (rows, [*unknown, *rows]))
    assert plain.svg == beside.svg
    assert draw_all(cells_of([*unknown, rows[0]]), ["groups"]) == []


def test_a_line_is_drawn_by_layer_and_under_attack_only_where_it_was_measured() -> None:
    layers = {"layers": ["a", "b"], "fairness_gap": [0.1, 0.2]}
    attacked = row("untouched", extras={**layers, "fgsm": {"FGSM@0.03137": 0.3}})
    only_layers, neither = row("ft", extras=layers), row("miu")
    (drawing,) = draw_all(cells_of([attacked, only_layers, neither]), ["robustness"])
    assert [f">{title}<".encode() in drawing.svg for title in ("untouched", "ft", "miu")] == [True, True, False]
    assert drawing.svg.count(b'id="PathCollection_') == 1  # the only one with an accuracy under FGSM


def test_nothing_is_drawn_of_rows_that_do_not_allow_it() -> None:
    assert draw_all(cells_of([row("untouched")]), list(FIGURES)) == []


def test_a_panel_without_a_value_says_so() -> None:
    assert "FORGET_SHARE" not in study()[0].values
    (drawing,) = draw_all(cells_of(study((0.5,))), ["cost"])
    assert drawing.svg.count(b"undefined in every row") == 1
