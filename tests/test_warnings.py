"""The filters of pyproject.toml: a warning of the project's own code fails a test."""

from __future__ import annotations

import pytest

WARN = "import warnings; warnings.warn('old', {category})"


@pytest.mark.parametrize("module", ["grmu_audit.data.text", "tests.unit.data", "support.tiny", "benchmarks.pages.data"])
@pytest.mark.parametrize("category", ["DeprecationWarning", "FutureWarning", "UserWarning"])
def test_a_warning_of_the_projects_own_code_is_an_error(module: str, category: str) -> None:
    with pytest.raises(Warning, match="old"):
        exec(WARN.format(category=category), {"__name__": module})


def test_no_filter_ignores_warnings_of_every_module(pytestconfig: pytest.Config) -> None:
    filters = [line.split(":") for line in pytestconfig.getini("filterwarnings")]
    assert len(filters) > 4
    assert [parts for parts in filters if parts[0] == "ignore" and not (len(parts) > 3 and parts[3])] == []
