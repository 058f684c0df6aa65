"""The page of the effect and the README's table of the demo are what the stored measurements give; the cache resumes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from benchmarks.measurements.effect import Cache, measured, processor
from benchmarks.pages.effect import BEGIN, END, SHOWN, block, page, readme

ROOT = Path(__file__).parents[3]
ROWS = ("pretrain", "retrain", "retrain + REWEIGHT", "shrink", "gradient ascent", "one epoch at 1e-7")
RANGE = re.compile(r"(\d+\.\d) \((\d+\.\d) to (\d+\.\d)\)(?: in (\d+) of (\d+))?")


@pytest.fixture(scope="module")
def found():
    return json.loads((ROOT / "docs" / "effect.json").read_bytes())


@pytest.fixture
def cells():
    """The README's table: cells by row."""
    text = (ROOT / "README.md").read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["", *(f"{name} %" for name in SHOWN), "verdict"]
    return {row[0]: row[1:] for row in rows[2:]}


def test_readme_holds_the_generated_table(found):
    text = (ROOT / "README.md").read_text()
    assert readme(text, found) == text, "run 'python -m benchmarks.pages.effect --only-write --write docs --readme README.md'"


def test_page_is_regenerated_and_equal(found):
    assert (ROOT / "docs" / "effect.md").read_text() == page(found)


def test_table_has_a_range_in_every_cell_and_the_mean_lies_in_it(cells):
    assert tuple(cells) == ROWS
    for title in ROWS:
        for name, cell in zip(SHOWN, cells[title][:-1], strict=True):
            if name == "EO" and cell == "undefined":
                continue
            mean, low, high = map(float, RANGE.fullmatch(cell).groups()[:3])
            assert 0 <= low <= mean <= high <= 100


def test_verdicts_count_every_seed_of_at_least_five(cells, found):
    seeds = len(found["results"])
    assert seeds >= 5
    assert [cells[title][-1] for title in ROWS[:2]] == ["", ""]
    for title in ROWS[2:]:
        counts = [re.fullmatch(r"(PASS, (?:champion|not tried)|(?:BREACH|INCONCLUSIVE), refused): (\d+) of (\d+)", one).groups()
                  for one in cells[title][-1].split("; ")]  # fmt: skip
        assert sum(int(count) for _, count, _ in counts) == seeds
        assert {int(of) for *_, of in counts} == {seeds}


def test_ranges_are_the_lowest_and_highest_seed(cells, found):
    """Read from the measurements by another way than the page is made."""
    seeds = found["results"]
    for title in ROWS:
        for column, name in enumerate(SHOWN):
            values = sorted(seed["demo"][title][name] for seed in seeds if name in seed["demo"][title])
            if not values:
                assert cells[title][column] == "undefined"
                continue
            low, high, count, of = RANGE.fullmatch(cells[title][column]).groups()[1:]
            assert [low, high] == [f"{100 * values[0]:.1f}", f"{100 * values[-1]:.1f}"]
            assert (count, of) == ((str(len(values)), str(len(seeds))) if len(values) < len(seeds) else (None, None))


def test_text_around_the_table_names_hardware_and_seeds(found):
    text = block(found)
    for fact in (found["machine"]["processor"], found["machine"]["torch"], f"{found['machine']['cores']} core"):
        assert fact in text
    assert f"{len(found['results'])} seeds" in text


def test_edited_table_is_rewritten_and_the_rest_unchanged(found):
    text = f"before\n{block(found)}\nafter\n"
    edited = text.replace("| pretrain | ", "| pretrain | 99.9, ")
    assert edited != text
    assert readme(edited, found) == text


@pytest.mark.parametrize("text", ["no markers", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_text_without_one_pair_of_markers_is_refused(found, text):
    with pytest.raises(ValueError, match="begin, written by"):
        readme(text, found)


def test_metric_that_a_seed_leaves_undefined_is_counted(found):
    changed = json.loads(json.dumps(found))
    del changed["results"][0]["demo"]["shrink"]["MIA_AUC"]
    count = len(found["results"])
    assert f" in {count - 1} of {count} |" in block(changed)
    for result in changed["results"]:
        result["demo"]["shrink"].pop("MIA_AUC", None)
    assert "| undefined |" in block(changed)


def result_of(seed):
    return {"seed": seed, "seconds": 1.5, "verdicts": {}}


def test_interrupted_measurement_continues(tmp_path):
    """The process dies while it writes the third seed: two are stored, the cut line counts as absent, no later one is lost."""
    seeds_run = []

    def run(seed):
        seeds_run.append(seed)
        return result_of(seed)

    cache = Cache(tmp_path / "made" / "effect.jsonl", ["code", {"torch": "1"}])
    measured(range(3), cache, run)
    os.truncate(cache.path, cache.path.stat().st_size - 20)
    assert measured(range(4), cache, run) == [result_of(seed) for seed in range(4)]
    assert seeds_run == [0, 1, 2, 2, 3]
    assert measured(range(4), cache, run) == [result_of(seed) for seed in range(4)]
    assert seeds_run == [0, 1, 2, 2, 3]


def test_other_code_or_machine_is_measured_again(tmp_path):
    path = tmp_path / "effect.jsonl"
    Cache(path, ["code", {"torch": "1"}]).put(0, result_of(0))
    assert Cache(path, ["code", {"torch": "1"}]).get(0) == result_of(0)
    assert Cache(path, ["code", {"torch": "2"}]).get(0) is None
    assert Cache(path, ["other", {"torch": "1"}]).get(0) is None
    assert Cache(path, ["code", {"torch": "1"}]).get(1) is None


def test_processor_is_named_with_family_and_model(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: Some CPU\n\nprocessor\t: 1\n")
    assert processor(info) == "Some CPU (family 25, model 1)"
    info.write_text("model name\t: Some CPU\n")
    assert processor(info) == "Some CPU"
    assert processor(tmp_path / "absent")
