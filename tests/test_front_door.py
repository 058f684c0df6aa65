"""``import grmu_audit``: light, complete, and without a name that a package bears."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import grmu_audit

ROOT = Path(grmu_audit.__file__).parent


def fresh(code: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    return done.stdout


def test_importing_the_package_loads_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import grmu_audit; loaded = set(sys.modules) - before;"
        "print(*sorted({name.split('.')[0] for name in loaded} - sys.stdlib_module_names))"
    )
    assert fresh(code).split() == ["grmu_audit"]
    assert fresh("import sys, grmu_audit; print(*[m for m in sys.modules if m.startswith('grmu_audit')])").split() == [
        "grmu_audit"
    ]


def test_every_name_of_the_front_door_is_imported_on_first_use() -> None:
    wanted = [
        "Session",
        "pretrain",
        "register",
        "retrain",
        "unlearn",
        "audit",
        "score",
        "compare",
        "gate",
        "promote",
        "rollback",
        "verify",
        "history",
        "sign_off",
        "add_requests",
        "load_policy",
        "render",
    ]
    assert set(wanted) <= set(grmu_audit.__all__)
    assert set(dir(grmu_audit)) == {*grmu_audit.__all__, "__version__"}
    for name in grmu_audit.__all__:
        assert name == "__version__" or callable(getattr(grmu_audit, name)), name
    with pytest.raises(AttributeError, match="no attribute 'erase'"):
        grmu_audit.erase  # noqa: B018


def test_no_package_bears_the_name_of_a_function() -> None:
    assert not {path.stem for path in ROOT.iterdir()} & set(grmu_audit.__all__)


def test_judging_a_prediction_file_needs_no_torch() -> None:
    code = (
        "import sys, grmu_audit; from pathlib import Path;"
        "audit = grmu_audit.score(Path('tests/golden/binary.csv'), policy=grmu_audit.load_policy('default'));"
        "print(repr(audit)); print('torch' in sys.modules, 'mlflow' in sys.modules)"
    )
    line, heavy = fresh(code).splitlines()
    assert line.startswith("<Audit of ")
    assert heavy == "False False"


def test_the_page_about_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT.parent / "docs" / "python.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "hmac.key"))
    shutil.copy(ROOT.parent / "tests" / "golden" / "binary.csv", "predictions.csv")
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), scope)
    said = capsys.readouterr().out
    assert "<Verdict " in said
    assert "predictions" in said
    result = scope["result"]
    assert repr(result).startswith("<AuditResult of digits/3: ")
    assert "<iframe" in result._repr_html_()  # type: ignore[attr-defined]
    assert "<table>" in scope["judged"]._repr_html_()  # type: ignore[attr-defined]
    assert repr(scope["version"]) == "<ModelRef digits/3: unlearned, cf>"
    assert "derived from</th><td>digits/1" in scope["version"]._repr_html_()  # type: ignore[attr-defined]
