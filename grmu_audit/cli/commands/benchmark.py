"""``benchmark``: run a suite, estimate its cost, list the suites, rank the methods of several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grmu_audit.cli.options import (
    FILE,
    FOLDER,
    data_option_option,
    data_root_option,
    json_option,
    loads,
    next_step,
    open_session,
    parse_settings,
    settings_option,
)
from grmu_audit.cli.output import say
from grmu_audit.cli.training_options import job_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grmu_audit.workflows.benchmarks import BenchmarkOptions, Suite


class SuiteGroup(click.Group):
    """``benchmark SUITE`` is short for ``benchmark run SUITE``."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """A word that is no command is a suite."""
        known = self.get_command(ctx, args[0]) is not None
        return super().resolve_command(ctx, args if known or args[0].startswith("-") else ["run", *args])


def suite_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that change a suite or add to it."""
    for option in (
        settings_option,
        click.option(
            "--weights", metavar="FILE|random", help="Start weights; random: fresh weights in place of pretrained ones."
        ),
        click.option("--variant", metavar="NAME", help="Variant of the suite, such as other data."),
        click.option("--method", "added", multiple=True, metavar="NAME", help="Method to add to the suite's; repeatable."),
        click.option("--seeds", metavar="A,B,C", help="Other seeds than the suite's."),
        data_option_option,
        data_root_option,
        click.option("--out", type=FOLDER, help="Folder of rows, tables and figures [default: benchmark-SUITE]."),
        click.argument("suite", metavar="SUITE|FILE.yaml"),
    ):
        function = option(function)
    return function


@click.group("benchmark", cls=SuiteGroup)
def benchmark_command() -> None:
    """Run a benchmark suite: data x forget groups x ratios x methods x REWEIGHT x seeds.

    'grmu-audit benchmark smoke' is the shortest; 'benchmark list' lists the suites.
    """


@benchmark_command.command("run")
@suite_options
@job_options
@click.pass_context
@loads("the suite and its data")
def run(ctx: click.Context, /, suite: str, jobs: Any, **given: Any) -> None:
    """Create and measure what is missing, then write tables, figures and a page.

    Existing results are kept: repeat the command after an interruption.
    """
    from grmu_audit.workflows.benchmarks import run_benchmark
    from grmu_audit.workflows.benchmarks.output import write_output

    chosen, options = _chosen(suite, given)
    found = run_benchmark(open_session(ctx, jobs), chosen, options)
    paths = write_output(chosen, found.rows, options.out, f"grmu-audit benchmark {chosen.name}")
    made = f"{found.trained} models, {found.sample_gradients:,} sample-gradients"
    say(f"{len(found.rows)} rows; created now: {made}; measured now: {found.measured}")
    say(f"written: {', '.join(map(str, paths))}, tables/, figures/")


@benchmark_command.command("plan")
@suite_options
@click.option("--no-calibration", is_flag=True, help="Do not time this machine; no hours are estimated.")
@json_option
@click.pass_context
@loads("the suite and the labels of its data")
def plan(ctx: click.Context, /, suite: str, no_calibration: bool, as_json: bool, **given: Any) -> None:
    """Estimate the cost of a suite: models, sample-gradients, hours on this machine. Nothing is trained."""
    import json

    from grmu_audit.cli.tables import text_table
    from grmu_audit.workflows.benchmarks.estimate import estimate

    chosen, options = _chosen(suite, given)
    found = estimate(open_session(ctx), chosen, options, 0.0 if no_calibration else 1.0)
    if as_json:
        tree = {"models": found.models, "rows": found.rows, "existing_models": found.existing_models, "hours": found.hours}
        costs = {"sample_gradients": found.cost.gradients, "forwards": found.cost.forwards, "data_known": found.known}
        click.echo(json.dumps({**tree, "existing_rows": found.existing_rows, **costs}))
        return
    rows = [[what, str(count), f"{cost.gradients:,}", f"{cost.forwards:,}"] for what, count, cost in found.lines]
    click.echo(text_table(["what", "models", "sample-gradients", "forwards"], rows))
    say(f"{found.models} models and {found.rows} rows; {found.existing_models} models and {found.existing_rows} rows exist")
    say(f"left to do: {found.cost.gradients:,} sample-gradients and {found.cost.forwards:,} forward passes")
    if found.hours is not None and found.rates is not None:
        speed = f"{found.rates.gradients:,.0f} gradients and {found.rates.forwards:,.0f} forward passes a second"
        say(f"about {found.hours:.2f} processor hours on this machine ({speed}, measured now on random inputs)")
    next_step(f"grmu-audit benchmark {suite}")


@benchmark_command.command("list")
def list_suites() -> None:
    """List the suites that come with the package."""
    from grmu_audit.cli.tables import text_table
    from grmu_audit.workflows.benchmarks import load_suite, suite_names

    suites = [load_suite(name) for name in suite_names()]
    rows = [[one.name, one.data.name, ", ".join(one.variants), one.title] for one in suites]
    click.echo(text_table(["suite", "data", "variants", "what"], rows, left=True))


@benchmark_command.command("leaderboard")
@click.argument("folders", nargs=-1, required=True, type=FOLDER, metavar="FOLDER...")
@click.option("--out", type=FILE, default=Path("leaderboard.html"), show_default=True)
def rank(folders: Sequence[Path], out: Path) -> None:
    """Write one static HTML page that ranks the methods of the benchmarks in FOLDERs."""
    from grmu_audit.workflows.benchmarks.output import write_leaderboard

    say(f"written: {write_leaderboard(folders, out)}")


def _chosen(name: str, given: dict[str, Any]) -> tuple[Suite, BenchmarkOptions]:
    """The suite with the changes of the command line, and the options of the run."""
    from grmu_audit.workflows.benchmarks import BenchmarkOptions, load_suite
    from grmu_audit.workflows.benchmarks.suite import adapted, varied

    whole = load_suite(name)
    suite = adapted(varied(whole, given["variant"]) if given["variant"] else whole, given["seeds"], given["added"])
    out = given["out"] or Path(f"benchmark-{suite.name}")
    data, settings = parse_settings(given["data_option"]), parse_settings(given["settings"])
    return suite, BenchmarkOptions(out, given["data_root"], data, settings, given["weights"])
