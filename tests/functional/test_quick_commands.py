"""Commands that compute nothing load nothing that computes, and nothing of MLflow on the embedded store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support.judged_audits import audited, policy, policy_file, predictions, version

from grmu_audit.tracking import open_store

NEVER = {"torch", "torchvision", "mlflow", "sqlalchemy", "great_expectations", "scipy", "sklearn", "matplotlib", "pandas"}
"""Libraries that none of the commands below may load."""
ALSO = {
    "--help": {"numpy", "pydantic", "jinja2", "yaml", "pyarrow"},
    "methods": {"pydantic", "jinja2", "pyarrow"},
    "history --model m": {"pydantic", "pyarrow"},
    "requests list --model m": {"pyarrow"},
    "gate --model m/1 --policy {policy}": {"pyarrow"},
    "verify --model m": set[str](),
}
"""What else a command may not load; run in this order in one process, so that each loads least."""
PROGRAM = """import json, sys
from grmu_audit.cli.app import execute
found = {}
for line in json.loads(sys.argv[1]):
    code = execute(["--tracking-uri", sys.argv[2], *line.split()] if line != "--help" else [line])
    found[line] = [code, sorted({name.partition(".")[0] for name in sys.modules}), len(sys.modules)]
print("FOUND" + json.dumps(found))
"""


def test_what_each_quick_command_loads(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = open_store(uri, root=tmp_path)
    ref = version(store, "m", tmp_path / "v")
    audited(store, ref, [predictions(100)], policy())
    chosen = policy_file(policy(), tmp_path)
    lines = {line.format(policy=chosen): more for line, more in ALSO.items()}
    env = {**os.environ, "HOME": str(tmp_path), "GRMU_AUDIT_POLICIES": chosen, "OMP_WAIT_POLICY": ""}
    command = [sys.executable, "-c", PROGRAM, json.dumps(list(lines)), uri]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, check=True)
    found = json.loads(done.stdout.partition("FOUND")[2])
    for line, more in lines.items():
        code, modules, count = found[line]
        assert code == 0, (line, done.stdout, done.stderr)
        loaded = set(modules) & (NEVER | more)
        assert not loaded, line
        assert count < 1000, line


def test_waiting_threads_of_the_tool_do_not_spin() -> None:
    code = "import os, grmu_audit.cli as c\ntry: c.main()\nexcept SystemExit: print(os.environ['OMP_WAIT_POLICY'])"
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.splitlines()[-1] == "passive"
