"""A verdict's exit code survives the terminal: every encoding, a full disk, a closed pipe, no stdout at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from grmu_audit.cli.output import _escape

CASE = Path(__file__).parents[2] / "cases" / "stdout-encoding" / "predictions.csv"
SCORE = [sys.executable, "-m", "grmu_audit", "score", "--predictions", str(CASE)]
POLICIES = {
    0: "{id: a, metric: TA, min: 0.01, evidence: point, allow_incomplete: true}",
    1: "{id: a, metric: TA, min: 1.0, evidence: point, allow_incomplete: true}",
    3: "{id: a, metric: TA, min: 0.5, compare: absolute, group: null}, {id: b, metric: AVG_GAP, max: 0.1}",
}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("policies")
    head = "schema: grmu-audit/policy/v1\nname: p\ndescription: Naïve − 日本 🙂\nrules: [{}]\n"
    for code, rules in POLICIES.items():
        (folder / f"{code}.yaml").write_text(head.format(rules), encoding="utf-8")
    return {code: folder / f"{code}.yaml" for code in POLICIES}


def run(line: list[str], encoding: str = "utf-8", **more: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(line, env=environment, stdin=subprocess.DEVNULL, check=False, **more)  # type: ignore[call-overload,no-any-return]


ENCODINGS = ["utf-8", "ascii", "latin-1", "cp437", "gbk", "shift_jis", "koi8-r", "utf-16", "cp1252:strict"]
PAIRS = [(list(POLICIES)[i % 3], one) for i, one in enumerate(ENCODINGS)] + [(code, "cp1252") for code in POLICIES]


@pytest.mark.parametrize(("code", "encoding"), PAIRS)
def test_any_encoding(policies: dict[int, Path], code: int, encoding: str) -> None:
    done = run([*SCORE, "--policy", str(policies[code]), "--name", "modèle − 日本"], encoding, capture_output=True)
    assert done.returncode == code, done.stderr
    text = done.stdout.decode(encoding.partition(":")[0])
    assert {0: "PASS", 1: "BREACH", 3: "INCONCLUSIVE"}[code] in text
    assert b"Traceback" not in done.stderr


def test_json_stays_json_in_any_encoding(policies: dict[int, Path]) -> None:
    found = [
        json.loads(run([*SCORE, "--name", "− 日本 🙂", "--json"], encoding, capture_output=True).stdout.decode(encoding))
        for encoding in ("utf-8", "cp1252")
    ]
    assert found[0]["subject"]["name"] == found[1]["subject"]["name"] == "− 日本 🙂"


def test_what_an_encoding_lacks_is_escaped_as_json_reads_it() -> None:
    for sign in ("日", "🙂", "\udc80", "é"):
        assert json.loads(f'"{_escape(sign)}"') == sign


@pytest.mark.parametrize("code", POLICIES)
def test_a_full_disk_behind_stdout(policies: dict[int, Path], code: int) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run([*SCORE, "--policy", str(policies[code])], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == code
    assert b"not all output could be written: No space left on device" in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_command_without_a_verdict_fails_where_its_output_is_lost() -> None:
    line = [sys.executable, "-m", "grmu_audit", "policy", "show"]
    with Path("/dev/full").open("wb") as full:
        assert run(line, stdout=full, stderr=subprocess.PIPE).returncode == 4
        assert run(line, stdout=subprocess.DEVNULL, stderr=full).returncode == 0, "messages are not what the command is for"


@pytest.mark.parametrize("close", ["closed pipe", "no stdout", "no stdout and no stderr"])
def test_nobody_reads(policies: dict[int, Path], close: str) -> None:
    for code, policy in policies.items():
        line = " ".join([*SCORE, "--policy", str(policy)])
        shell = {
            "closed pipe": f"set -o pipefail; {line} | true",
            "no stdout": f"{line} >&-",
            "no stdout and no stderr": f"{line} >&- 2>&-",
        }[close]
        assert run(["bash", "-c", shell], capture_output=True).returncode == code


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    shell = f"set -o pipefail; {sys.executable} -m grmu_audit policy schema | head -c 1 > /dev/null"
    assert run(["bash", "-c", shell], capture_output=True).returncode == 0
