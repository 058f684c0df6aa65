"""The long run in ``docs/reliability.md``: requests by command line against a server, with kills and full disks.

python -m benchmarks.pages.long_run --folder FOLDER [--requests 200] [--seconds S] [--seed 0] [--write docs/reliability.md]

Store, lists and what was done lie in FOLDER: a run that was interrupted, or stopped after S seconds, goes on from there.
``--seconds 0 --write`` only checks the store again and writes the section.  Exit code 1: something was not as asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measurements import kept
from benchmarks.measurements.long_run.growth import FEWEST, Growth, cpu_minutes, disturbances, endings, growths
from benchmarks.measurements.long_run.requests import run_requests, say_on_stderr
from benchmarks.measurements.long_run.state import Plan, State, StoppedError, read_state
from benchmarks.pages.sections import replace_section
from grmu_audit.utils import canonical_json, write_atomic
from grmu_audit.utils.resources import VERSION

RESULT = kept.RESULTS / "reliability" / "long_run.json"
"""The numbers of the section."""
BEGIN = "<!-- long run: begin, written by python -m benchmarks.pages.long_run -->"
END = "<!-- long run: end -->"


def numbers(state: State) -> dict[str, Any]:
    """What the section says, as plain JSON types."""
    tree = {
        "version": VERSION,
        "plan": state.plan,
        "done": len(state.requests),
        "endings": endings(state),
        "commands": sum(bool(one["name"]) for one in state.attempts),
        "disturbances": disturbances(state),
        "resumed": sum(one["name"] == "promote --resume" for one in state.attempts),
        "checks": len(state.checks),
        "last_check": state.checks[-1]["found"] if state.checks else ["not checked"],
        "problems": state.problems,
        "growths": [asdict(one) for one in growths(state)],
        "cpu_minutes": round(cpu_minutes(state), 1),
        "minutes": round(state.seconds / 60, 1),
    }
    found: dict[str, Any] = json.loads(canonical_json(tree))
    return found


def section(found: Mapping[str, Any] | None) -> str:
    """The section between its markers; it says so where nothing was run."""
    lines = ["Not run yet."] if found is None else [*_what_was_run(found), "", *_what_was_found(found), "", *_growth_lines(found)]
    return "\n".join([BEGIN, "", *lines, "", END])


def _what_was_run(found: Mapping[str, Any]) -> list[str]:
    plan, (promoted, retrained), (wrong, refused) = found["plan"], found["endings"]["retrain"], found["endings"]["unlearn"]
    return [
        *_wrapped(
            f"{found['done']} of {plan['requests']} requests of 1 to 3 ids (seed {plan['seed']}) on PhotoDigits (1,100 training"
            f" rows, `small_resnet` of widths {plan['widths']}), each by `requests add`, then `unlearn` or `retrain` with"
            " `--requests pending`, `audit` and `promote` with policy `default`, against `mlflow server` on SQLite. A request"
            " whose version the gate refused waits for the next version."
        ),
        "",
        f"- `retrain`: {promoted} of {retrained} versions were promoted.",
        f"- `unlearn` with the default method: {refused - wrong} of {refused} versions were refused, and the champion stayed.",
        "",
        *_wrapped(
            f"{found['commands']:,} commands: in one pair of requests of {plan['fresh_every']} by new interpreters, in the others"
            " forked from a process that has imported the libraries. After a disturbance the command was given again;"
            f" {found['resumed']} promotions were finished by `promote --resume`."
        ),
        "",
        "| what happened | times | how the command ended |",
        "|---|---:|---|",
        *(f"| {kind} | {sum(counts.values())} | {_shown(counts)} |" for kind, counts in found["disturbances"].items()),
        "",
        "No space: no file of the command, or of the server, may grow beyond a size (`RLIMIT_FSIZE`).",
    ]


def _shown(counts: Mapping[str, int]) -> str:
    """Endings with how often each was seen."""
    return ", ".join(f"{ending}: {count}" for ending, count in counts.items() if ending) or "-"


def _wrapped(text: str) -> list[str]:
    """A paragraph in lines."""
    return textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)


def _what_was_found(found: Mapping[str, Any]) -> list[str]:
    last = "; ".join(found["last_check"]) or "all is as asked for: no request is lost, and none was entered or served twice"
    problems = [f"- {line}" for line in found["problems"]]
    return [
        *_wrapped(
            f"Compared {found['checks']} times: `verify`; the alias with the ledger and with what `promote` reported; audit and"
            " report of every promoted version; pseudonyms of every request with what was asked for; rows that the champion was"
            " created without with the union of all requests that were served; runs that are said to run while no command does."
        ),
        "",
        f"After the last request: {last}.",
        *(["", "Problems on the way:", "", *problems] if problems else []),
    ]


def _growth_lines(found: Mapping[str, Any]) -> list[str]:
    rows = [Growth(**one) for one in found["growths"]]
    cost = f"grmu-audit {found['version']}; {found['cpu_minutes']:.0f} CPU minutes, {found['minutes']:.0f} minutes."
    if not rows:
        return [f"Growth is not judged below {FEWEST} requests.", "", cost]
    return [
        "| median over | first tenth | last tenth | at most | held |",
        "|---|---:|---:|---:|---|",
        *(
            f"| {one.what} | {one.first:.2f} | {one.last:.2f} |"
            f" {'' if one.most is None else f'x {one.most:g}'} | {'' if one.most is None else 'yes' if one.held else '**no**'} |"
            for one in rows
        ),
        "",
        cost,
    ]


def read_section(path: Path = RESULT) -> str:
    """The section from the stored numbers."""
    return section(json.loads(path.read_bytes()) if path.is_file() else None)


def good(found: Mapping[str, Any]) -> bool:
    """Whether all is as asked for: nothing was found, nothing grew, no default method was promoted."""
    held = all(Growth(**one).held for one in found["growths"])
    return not found["problems"] and not found["last_check"] and held and found["endings"]["unlearn"][0] == 0


def main() -> None:
    """Run what is missing, then print or write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of store and state")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further request after that time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="page that has the section")
    options = parser.parse_args()
    stopped = ""
    try:
        state: State | None = run_requests(options.folder, Plan(options.requests, options.seed), options.seconds, say_on_stderr)
    except StoppedError as error:
        state, stopped = read_state(options.folder), str(error)
    if state is None:
        parser.error(f"{options.folder} holds no run")
    found = numbers(state)
    if options.write:
        write_atomic(RESULT, canonical_json(found) + b"\n")
        page = replace_section(options.write.read_text(encoding="utf-8"), section(found), BEGIN, END)
        write_atomic(options.write, page.encode())
    else:
        sys.stdout.write(section(found) + "\n")
    if stopped:
        sys.stderr.write(f"stopped; the same command goes on from here: {stopped}\n")
    sys.exit(0 if good(found) and not stopped else 1)


if __name__ == "__main__":
    main()
