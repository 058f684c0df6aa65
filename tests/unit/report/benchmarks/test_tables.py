from __future__ import annotations

import csv
import io

from support.benchmarks import row, study

from grmu_audit.report.benchmarks.summary import cells_of
from grmu_audit.report.benchmarks.tables import (
    Field,
    Table,
    published_fairness,
    published_table,
    result_table,
    rows_csv,
    to_csv,
    to_latex,
    to_markdown,
)


def test_the_papers_form() -> None:
    cell = cells_of(study())[1]
    table = result_table(cell)
    assert table.heads[:9] == ("row", "RW", "RA", "UA", "TA", "MIA", "EO", "GA", "avg. gap")
    assert [fields[0].text for fields in table.rows[:4]] == ["untouched", "retrain", "retrain + Group-DRO", "reference"]
    by_name = {fields[0].text: fields for fields in table.rows}
    assert by_name["miu + REWEIGHT"][8].best  # the largest avg. gap
    assert not by_name["untouched"][8].best
    assert "90.0 ± 0.0 (5.0)" in [field.text for field in by_name["ft"]]
    assert "(" not in by_name["reference"][2].text  # what the others are compared with
    assert "100 % forgotten" not in table.caption
    assert "50 % forgotten (3 seeds)" in table.caption


def test_bold_goes_to_a_method_and_never_to_floor_or_ceiling() -> None:
    rows = [row("untouched", deltas={"RA": 0.0}), row("ceiling", deltas={"RA": 0.0}), row("ft", deltas={"RA": 0.3})]
    table = result_table(cells_of(rows)[0])
    assert [fields[2].best for fields in table.rows] == [False, False, True]


def test_a_diverged_row_is_said_and_wins_nothing() -> None:
    rows = [row("untouched"), row("ft", diverged="at epoch 1", values={}, deltas={"RA": 0.0}), row("miu", deltas={"RA": 0.1})]
    table = result_table(cells_of(rows)[0])
    assert table.rows[-2][0].text == "ft (1 of 1 diverged)"
    assert table.rows[-1][2].best


def test_printed_numbers_stand_beside_ours() -> None:
    table = published_table("celeba", cells_of([row("untouched"), row("miu", values={"GA": 0.363})])[0])
    assert table is not None
    assert table.rows[1][0].text == "miu"
    assert table.rows[1][6].text == "36.3 / 36.3 (+0.0)"
    assert published_table("celeba", cells_of([row("ft")])[0]) is None


def test_formats_hold_what_is_printed() -> None:
    table = Table("t", "50 % of _it_", ("row", "a & b"), ((Field("x_1 | y"), Field("1.0 ± 0.2", True)),), ("A note.",))
    assert to_markdown(table).splitlines()[2] == "| x_1 / y | **1.0 ± 0.2** |"
    tex = to_latex(table)
    assert r"x\_1 | y & \textbf{1.0 $\pm$ 0.2} \\" in tex
    assert r"row & a \& b \\" in tex
    assert to_csv(table) == "row,a & b\nx_1 | y,1.0 ± 0.2\n"


def test_all_numbers_come_back_from_the_file_and_no_title_is_a_formula() -> None:
    found = list(csv.DictReader(io.StringIO(rows_csv([row("=cmd()", values={"GA": -0.25})]))))
    assert found[0]["title"] == "'=cmd()"
    assert float(found[0]["GA"]) == -0.25
    assert found[0]["diverged"] == "False"


def test_printed_fairness_stands_beside_ours() -> None:
    table = published_fairness(
        "celeba", cells_of([row("untouched", values={"DP": 0.2}), row("miu + REWEIGHT", values={"DP": 0.1})])
    )
    assert table is not None
    assert [fields[1].text for fields in table.rows] == ["20.0 / 18.7", "– / 18.9", "– / 18.8", "10.0 / 18.8"]
    assert published_fairness("photodigits", cells_of([row("untouched")])) is None
