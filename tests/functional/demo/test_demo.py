"""The story of the demo: what it prints, what it leaves, and what it must not leave."""

from __future__ import annotations

import csv
import re
import sqlite3
from functools import cache
from pathlib import Path

import pytest
from support.progress_lines import CompletedLine
from support.reidentification import Attacker, files_of

README = Path(__file__).parents[3] / "README.md"
ROWS = ("pretrain", "retrain", "retrain + REWEIGHT", "shrink", "gradient ascent", "one epoch at 1e-7")


@pytest.mark.parametrize("row", ROWS)
def test_table_shows_ga_with_interval(demo: CompletedLine, row: str) -> None:
    line = next(line for line in demo.out.splitlines() if re.match(rf"{re.escape(row)}\s+photodigits/\d", line))
    value, low, high = map(float, re.search(r"photodigits/\d\s+([\d.]+) \[(\d+), (\d+)\]", line).groups())  # type: ignore[union-attr]
    assert 0 <= low < high <= 100
    assert low - 0.5 <= value <= high + 0.5, "limits are printed without decimals"


def test_readme_table_has_the_rows_and_columns_that_the_demo_prints(demo: CompletedLine) -> None:
    lines = demo.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.split()[:1] == ["version"])
    printed = [re.split(r"\s{2,}", line.strip()) for line in lines[start : start + 1 + len(ROWS)]]
    table = README.read_text().partition("<!-- demo table: begin")[2].partition("<!-- demo table: end")[0]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    assert [cell for cell in printed[0] if cell != "version"] == shown[0][1:]
    assert [cells[0] for cells in printed[1:]] == [cells[0] for cells in shown[2:]] == list(ROWS)


def test_exactly_one_version_is_champion_and_none_that_forgot_nothing(demo: CompletedLine) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{demo.folder}/mlruns/mlflow.db"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    versions = client.search_model_versions("name = 'photodigits'")
    every = [client.get_model_version("photodigits", v.version) for v in versions]
    by_method = {v.tags["grmu.method"]: v for v in every if v.tags["grmu.role"] == "unlearned"}
    champions = [v for v in every if "champion" in v.aliases]
    assert [v.tags["grmu.verdict"] for v in champions] == ["PASS"]
    assert {"shrink", "gradient_ascent", "ft"} <= set(by_method)
    assert champions[0].tags["grmu.method"] in ("shrink", "retrain")
    assert by_method["gradient_ascent"].tags["grmu.verdict"] == "BREACH"
    assert by_method["ft"].tags["grmu.verdict"] in ("BREACH", "INCONCLUSIVE")


@cache
def forgotten(folder: Path) -> tuple[bytes, ...]:
    with (folder / "grmu-demo" / "ids.csv").open(newline="") as stream:
        return tuple(row["id"].encode() for row in csv.DictReader(stream))


def test_forget_ids_are_in_no_file_but_the_list_itself(demo: CompletedLine) -> None:
    ids = forgotten(demo.folder)
    said = re.search(r"sample half of the rare group as forget set: (\d+) ids", demo.out)
    assert said is not None
    assert len(ids) == int(said[1]) >= 30
    assert all(re.fullmatch(rb"digit-\d{4}-0", name) for name in ids)
    searched = [p for p in demo.folder.rglob("*") if p.is_file() and p.name != "ids.csv"]
    assert len(searched) > 50
    for path in searched:
        content = path.read_bytes()
        assert not [name for name in ids if name in content], path


def test_forget_ids_are_in_no_log_line_and_no_database_cell(demo: CompletedLine) -> None:
    ids = forgotten(demo.folder)
    said = (demo.out + demo.err).encode()
    assert not [name for name in ids if name in said]
    with sqlite3.connect(demo.folder / "mlruns" / "mlflow.db") as database:
        dump = "\n".join(database.iterdump()).encode()
    assert b"photodigits" in dump
    assert not [name for name in ids if name in dump]


def test_stored_tables_hold_no_id_of_the_dataset_at_all(demo: CompletedLine) -> None:
    """Parquet compresses, so the columns are read back too."""
    import pandas as pd

    tables = list((demo.folder / "mlruns").rglob("*.parquet"))
    assert len(tables) >= 5
    for path in tables:
        assert not pd.read_parquet(path)["id"].str.startswith("digit-").any()


def test_who_has_the_data_but_no_key_does_no_better_than_chance(demo: CompletedLine) -> None:
    """Ids, hashes, positions, codes, ranks and counts, in the store, a bundle, the reports and what was printed."""
    from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits

    assert demo.run("evidence", "export", "--model", "photodigits/5", "--out", "bundle.zip").returncode == 0
    (demo.folder / "printed.txt").write_text(demo.out + demo.err)
    found = re.search(r"demo-(\d)\d*$", demo.folder.parent.name)
    assert found is not None
    key = bytes.fromhex((demo.folder.parent / "key" / "hmac.key").read_text().strip())
    attacker = Attacker(photodigits(PhotoDigitsOptions(seed=int(found[1]))), key, "photodigits")
    files = files_of(demo.folder)
    lists = [name for name in files if "ids.csv" in name]
    assert lists, "the operator's own list lies there"
    assert attacker.successes({name: content for name, content in files.items() if name not in lists}) == []


def test_verify_is_clean_and_history_shows_the_refusal(demo: CompletedLine) -> None:
    assert demo.run("verify", "--model", "photodigits").returncode == 0
    history = demo.run("history", "--model", "photodigits")
    assert history.returncode == 0
    kinds = [line.split()[2] for line in history.stdout.splitlines()[1:]]
    counts = {kind: kinds.count(kind) for kind in ("key", "audit", "promote", "done", "refusal")}
    assert (counts["key"], counts["promote"], counts["done"]) == (1, 1, 1)
    assert counts["audit"] >= 4
    assert counts["refusal"] >= 2


def test_a_second_audit_makes_no_forward_pass(demo: CompletedLine) -> None:
    import json

    done = demo.run("audit", "--model", "photodigits/6", "--json", "--out", "again")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["record"]["forward_passes"] == 0
    assert "next: read the reasons" in done.stderr
    assert "promote" not in done.stderr


def test_reports_open_in_a_browser_without_message_or_request(demo: CompletedLine) -> None:
    from support.browser import visit

    for name in ("retrain-reweight", "gradient-ascent"):
        page = demo.folder / "grmu-demo" / name / "report.html"
        seen = visit(page)
        assert seen.messages == []
        assert seen.requests == [page.as_uri()]
        assert ("BREACH" if name == "gradient-ascent" else "PASS") in seen.text
