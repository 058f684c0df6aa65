"""``grmu-audit metrics`` speaks from the catalogue."""

from __future__ import annotations

import json
import subprocess
import sys

from grmu_audit.cli.app import execute
from grmu_audit.metrics.catalog import BUILT_IN


def test_list_and_show(capsys):
    assert execute(["metrics", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["metric"] for row in rows] == list(BUILT_IN)
    assert {row["read it"] for row in rows} >= {"higher", "lower", "as reference", "near 0.5"}
    assert execute(["metrics"]) == 0
    assert "Equalized-odds gap" not in capsys.readouterr().err
    assert execute(["metrics", "show", "EO", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["direction"] == "lower"
    assert card["undefined"]
    assert execute(["metrics", "show", "EOO"]) == 2
    assert "did you mean 'EO'" in capsys.readouterr().err


def test_listing_metrics_loads_no_heavy_library():
    code = (
        "import sys; from grmu_audit.cli.app import execute; code = execute(['metrics', 'show', 'GA']);"
        "sys.exit(code or bool({'torch', 'mlflow', 'great_expectations', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
