from __future__ import annotations

from dataclasses import replace

from support.benchmarks import row, study

from grmu_audit.records.benchmark import BenchmarkRow
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


def test_a_method_that_diverged_is_not_nearest() -> None:
    """Two of three seeds diverged in one cell, and all in each cell."""
    lost = [replace(one, diverged="nan", values={}) if one.title == "miu + REWEIGHT" and one.seed else one for one in study()]
    some = [new if new.ratio == 0.9 else old for new, old in zip(lost, study(), strict=True)]
    assert findings(some)["MIU"] == OPEN
    assert findings(lost)["MIU"] == FAILS
    said = next(claim for claim in claims(cells_of(some)) if claim.statement.startswith("MIU")).evidence
    assert "0.9: MIU + REWEIGHT has no result in 2 of 3 seeds" in said[-1]


def test_the_nearest_needs_a_clear_lead_over_every_other_method() -> None:
    assert findings(study(seeds=1))["MIU"] == OPEN
    assert findings(with_more(study(), "ft + REWEIGHT", (0, 0.009, 0.018)))["MIU"] == OPEN  # leads of 1, 0.1 and -0.8 points
    assert findings(with_more(study(), "ft + REWEIGHT", (0.02, 0.02, 0.02)))["MIU"] == FAILS


def with_more(rows: list[BenchmarkRow], title: str, more: tuple[float, ...]) -> list[BenchmarkRow]:
    """The rows with a higher avg. gap of one method, by seed."""
    return [
        replace(one, values={**one.values, "AVG_GAP": one.values["AVG_GAP"] + more[one.seed]}) if one.title == title else one
        for one in rows
    ]


def test_every_request_of_a_rare_group_counts() -> None:
    """GA drops in the second request and rises in the first: neither hides the other."""
    other = [replace(one, request="another", values={**one.values, "GA": 1 - one.values["GA"]}) for one in study()]
    assert findings([*study(), *other])["GA"] == findings([*other, *study()])["GA"] == FAILS


def test_a_group_that_is_well_represented_decides_nothing_about_rare_ones() -> None:
    common = [replace(one, facts={**one.facts, "represented": "most"}) for one in study()]
    found = findings(common)
    assert (found["GA"], found["REWEIGHT"]) == (OPEN, OPEN)
    assert findings([*common, *(replace(one, request="another") for one in study())])["GA"] == HOLDS


def test_the_drop_without_methods_speaks_of_retraining_alone() -> None:
    def evidence(rows: list[BenchmarkRow]) -> list[bool]:
        (drop,) = (claim for claim in claims(cells_of(rows)) if claim.statement.startswith("GA drops"))
        return [line.startswith("Methods without REWEIGHT: ") for line in drop.evidence]

    assert evidence(study()) == [False, True]
    assert evidence([one for one in study() if one.part != "method"]) == [False]


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
