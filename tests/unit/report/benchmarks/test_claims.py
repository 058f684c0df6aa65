from __future__ import annotations

from support.benchmarks import row, study

from grmu_audit.report.benchmarks.claims import FAILS, HOLDS, OPEN, claims, floor_note
from grmu_audit.report.benchmarks.summary import cells_of


def findings(rows: list) -> dict[str, str]:  # type: ignore[type-arg]
    return {claim.statement.split(" ")[0]: claim.finding for claim in claims(cells_of(rows))}


def test_what_the_rows_show_holds() -> None:
    assert findings(study()) == {"GA": HOLDS, "REWEIGHT": HOLDS, "MIU": HOLDS, "Retraining": HOLDS, "UA": HOLDS}


def test_the_other_way_round_does_not_hold() -> None:
    flipped = [
        row(
            one.title,
            one.seed,
            ratio=one.ratio,
            part=one.part,
            method=one.method,
            values={**one.values, "GA": 1 - one.values["GA"]},
        )
        for one in study()
    ]
    found = findings(flipped)
    assert (found["GA"], found["REWEIGHT"]) == (FAILS, FAILS)


def test_one_seed_decides_nothing() -> None:
    found = findings(study(seeds=1))
    assert (found["GA"], found["REWEIGHT"], found["Retraining"]) == (OPEN, OPEN, OPEN)


def test_two_seeds_need_more_than_two_standard_errors() -> None:
    rows = [row(title, seed, values={"GA": ga + 0.01 * seed * (title == "retrain")}) for seed in (0, 1)
            for title, ga in (("untouched", 0.6), ("reference", 0.6), ("retrain", 0.55))]  # fmt: skip
    assert findings(rows)["REWEIGHT"] == OPEN  # 4 and 5 points: nine standard errors, and one degree of freedom


def test_a_claim_without_rows_is_not_made() -> None:
    assert findings([row("untouched"), row("ft")]) == {}


def test_the_floor_by_the_printed_means_is_noted() -> None:
    notes = floor_note("celeba", cells_of([row("untouched")]))
    assert len(notes) == 1
    assert "99.2" in notes[0]
    assert "99.0" in notes[0]
    assert floor_note("photodigits", cells_of([row("untouched")])) == []


def test_rows_that_are_all_equal_have_no_rank_correlation() -> None:
    rows = [row(title) for title in ("untouched", "a", "b", "c", "d", "e")]
    assert findings(rows) == {}
