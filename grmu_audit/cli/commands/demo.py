"""The command ``demo`` and the table that it prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from grmu_audit.cli.options import FOLDER, loads, open_session, seed_option
from grmu_audit.cli.output import say

if TYPE_CHECKING:
    from grmu_audit.workflows.demo import DemoResult

COLUMNS = ("GA", "WG", "UA", "TA", "EO", "MIA_AUC")


@click.command("demo")
@click.option("--out", type=FOLDER, default=Path("grmu-demo"), show_default=True, help="Folder for forget list and reports.")
@seed_option(0)
@click.pass_context
@loads("PyTorch, the store and the data")
def demo_command(ctx: click.Context, out: Path, seed: int) -> None:
    """Run the whole procedure on embedded real data, offline, in a few minutes on two cores.

    Exits 0 when both gradient ascent and a run of next to no effect were refused, else 3.
    """
    from grmu_audit.workflows.demo import MUST_NOT_PASS, demo

    session = open_session(ctx)
    done = demo(session, out, say, seed)
    click.echo(f"\n{_summary(done)}\n")
    for one in done.tried:
        state = "promoted" if one.promoted else "refused"
        say(f"report of {one.what}, {state}: {one.audited.folder / 'report.html'}")
    if done.promoted is None:
        for one in done.tried:
            if one.undecided and one.what not in MUST_NOT_PASS:
                say(f"{one.what} was not promoted: the samples do not decide {', '.join(one.undecided)}")
        say(f"the numbers of a seed depend on the processor; another seed has other data: grmu-audit demo --seed {seed + 1}")
    say(f"runs and versions: mlflow ui --backend-store-uri {session.store.uri}")
    ctx.exit(0 if done.as_expected else 3)


def _summary(done: DemoResult) -> str:
    from grmu_audit.cli.tables import text_table

    rows = []
    for row in done.rows:
        cells = []
        for name in COLUMNS:
            value = row.audited.audit.metric(name, row.subject)
            cells.append(_cell(value.value, value.interval) if value else "-")
        rows.append([row.what, row.version.label, *cells, row.verdict])
    return text_table(["", "version", *(f"{name} %" for name in COLUMNS), "verdict"], rows)


def _cell(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "undefined"
    shown = f"{100 * value:.1f}"
    return f"{shown} [{100 * interval[0]:.0f}, {100 * interval[1]:.0f}]" if interval else shown
