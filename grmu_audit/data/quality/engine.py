"""The only module that calls Great Expectations (1.24, ephemeral context, pandas, no telemetry, no progress bars).

The engine says "success" for every expectation on an empty table or an all-null column.  Here a check passes only
when it was evaluated, on at least one value, with no value missing and none unexpected.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grmu_audit.data.quality.expectations import Expectation, Suite
from grmu_audit.records import CheckResult

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5
_WIDTH = 40


def evaluate(tables: Mapping[str, pd.DataFrame], suites: Sequence[Suite]) -> tuple[tuple[CheckResult, ...], str]:
    """Evaluate every suite on its table.

    Returns:
        The results in the order of the suites, and the engine's name and version.
    """
    gx = _engine()
    context = _context(gx)
    results: list[CheckResult] = []
    for suite in suites:
        results += _evaluate_suite(gx, context, tables[suite.table], suite)
    return tuple(results), f"great_expectations {gx.__version__}"


def _engine() -> Any:
    """Import the engine with its telemetry switched off; costs seconds, hence not at import time."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
    return gx


def _context(gx: Any) -> Any:
    context = gx.get_context(mode="ephemeral", cloud_mode=False)
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context


def _evaluate_suite(gx: Any, context: Any, table: pd.DataFrame, suite: Suite) -> list[CheckResult]:
    """Row counts on any table; everything else only where there are rows."""
    checked = [e for e in suite.expectations if len(table) > 0 or e.kind.startswith("ExpectTableRowCount")]
    found: dict[int, Any] = {}
    problem = "the engine gave no result"
    try:
        found = _validate(gx, context, table, suite.table, checked)
    except Exception as error:  # noqa: BLE001  (whatever the engine raises means: not evaluated, which is a failure)
        problem = f"the engine raised {type(error).__name__}"
    results, number = [], 0
    for expectation in suite.expectations:
        if number < len(checked) and checked[number] is expectation:
            results.append(_result(expectation, found.get(number), table, problem))
            number += 1
        else:
            results.append(_not_evaluated(expectation, "there is no row to check"))
    return results


def _validate(gx: Any, context: Any, table: pd.DataFrame, name: str, checked: Sequence[Expectation]) -> dict[int, Any]:
    """Engine results by position in ``checked``; the engine itself reorders them."""
    source = context.data_sources.add_pandas(name)
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name).get_batch({"dataframe": table})
    kinds = gx.expectations
    expectations = [getattr(kinds, e.kind)(**e.arguments, meta={"number": n}) for n, e in enumerate(checked)]
    suite = gx.ExpectationSuite(name=name, expectations=expectations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = batch.validate(suite, result_format="SUMMARY")
    return {result.expectation_config.meta["number"]: result for result in report.results}


def _result(expectation: Expectation, found: Any, table: pd.DataFrame, problem: str) -> CheckResult:
    if found is None:
        return _not_evaluated(expectation, problem)
    details: Mapping[str, Any] = found.result or {}
    if "observed_value" in details:
        return _report(expectation, found.success is True, f"{details['observed_value']} rows")
    total, missing = details.get("element_count"), details.get("missing_count", 0)
    unexpected = details.get("unexpected_count")
    if total is None or unexpected is None:
        return _not_evaluated(expectation, "the engine could not evaluate it")
    if not missing < total:
        return _not_evaluated(expectation, f"all {total} values are missing")
    passed = found.success is True and unexpected == 0 and missing == 0
    shown = _show_failures(expectation, details, table)
    noun = "groups" if expectation.show == "names" else "rows"
    text = f"{unexpected} of {total} {noun} fail" + (f", {missing} missing" if missing else "") + (f": {shown}" if shown else "")
    return _report(expectation, passed, text)


def _show_failures(expectation: Expectation, details: Mapping[str, Any], table: pd.DataFrame) -> str:
    """Failing values or groups where they may be shown; an id never is."""
    if expectation.show == "values":
        counts = details.get("partial_unexpected_counts") or []
        shown = [f"{_short(entry['value'])} ({entry['count']})" for entry in counts]
    elif expectation.show == "names":
        column = str(expectation.arguments["column"])
        rows = details.get("partial_unexpected_index_list") or []
        shown = [f"{_short(table['name'].iloc[row])}: {table[column].iloc[row]:.6g}" for row in rows]
    else:
        return ""
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")


def _short(value: object) -> str:
    text = ascii(value) if not isinstance(value, str) or not value.isprintable() else repr(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _report(expectation: Expectation, passed: bool, observed: str, *, evaluated: bool = True) -> CheckResult:
    return CheckResult(
        part=expectation.part,
        expectation=expectation.words,
        passed=passed,
        evaluated=evaluated,
        observed=observed,
        severity=expectation.severity,
        advice=expectation.advice,
    )


def _not_evaluated(expectation: Expectation, why: str) -> CheckResult:
    return _report(expectation, False, f"not evaluated: {why}", evaluated=False)
