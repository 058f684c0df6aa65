"""The command ``data``: list, describe, check and import datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from grmu_audit.cli.options import (
    FILE,
    FOLDER,
    data_option_option,
    data_root_option,
    data_spec,
    json_option,
    loads,
    next_step,
    observer,
)
from grmu_audit.cli.output import say


@click.group("data")
def data_command() -> None:
    """Known datasets, their groups and splits."""


@data_command.command("list")
def names() -> None:
    """List the datasets that this installation can read or generate."""
    from grmu_audit.cli.tables import text_table
    from grmu_audit.workflows.datasets import dataset_rows

    click.echo(
        text_table(
            ["name", "what"], [*dataset_rows(), ["FILE.yaml", "Your own images or table: 'grmu-audit data import'."]], left=True
        )
    )


@data_command.command("describe")
@click.argument("name", metavar="NAME|FILE")
@data_root_option
@data_option_option
@click.option("--forget", type=FILE, help="Forget list whose effect on the group mix is shown.")
@click.option("--svg", type=FILE, help="Write the group mix as an SVG chart.")
@click.pass_context
@loads("the data")
def describe(
    ctx: click.Context, name: str, data_root: Path | None, data_option: tuple[str, ...], forget: Path | None, svg: Path | None
) -> None:
    """Show groups by split, sizes, names and the digest of a dataset; with a forget list, the mix after it."""
    from grmu_audit.cli.tables import group_table
    from grmu_audit.workflows.datasets import describe_data

    found = describe_data(data_spec(name, data_root, data_option), forget, observer(ctx))
    say("\n".join(found.facts))
    click.echo(group_table(found.groups))
    if svg is not None:
        from grmu_audit.report.charts.group_charts import group_mix_svg
        from grmu_audit.utils import write_atomic

        write_atomic(svg, group_mix_svg(found.groups, f"Groups of {found.dataset.header.name}").encode())
        say(f"chart: {svg}", err=True)


@data_command.command("check")
@click.argument("name", metavar="NAME|FILE")
@data_root_option
@data_option_option
@click.option("--forget", type=FILE, help="Forget list to check the data under.")
@click.option("--minimum-group", type=click.IntRange(min=1), default=1, show_default=True, help="Test samples of every group.")
@json_option
@click.pass_context
@loads("the data")
def check(
    ctx: click.Context, /, name: str, data_root: Path | None, data_option: tuple[str, ...], forget: Path | None, **how: Any
) -> None:
    """Run all quality checks on a dataset: exit code 5 when one fails."""
    from grmu_audit.cli.tables import check_text
    from grmu_audit.data.quality import require_passed
    from grmu_audit.workflows.datasets import check_data

    spec = data_spec(name, data_root, data_option)
    report = check_data(spec, forget, how["minimum_group"], observer(ctx))
    click.echo(check_text(report, as_json=how["as_json"]))
    require_passed(report)


@data_command.command("import")
@click.argument("dataset", required=False, metavar="[NAME]")
@data_root_option
@click.option("--download", is_flag=True, help="Let torchvision download NAME (celeba, cifar10) into --data-root.")
@click.option("--table", type=FILE, help="Table of labels (CSV or parquet) of your own data.")
@click.option("--images", type=FOLDER, help="Folder of images; without --table it has one sub-folder per class.")
@click.option("--target", help="Column to predict.")
@click.option("--positive", metavar="LABEL", help="Label that counts as the positive outcome [default: the second in order].")
@click.option("--attribute", "attributes", multiple=True, help="Column whose values form the groups; repeatable.")
@click.option("--attribute-file", type=FILE, help="With --images alone: CSV with a column id and columns of attributes.")
@click.option("--feature", "features", multiple=True, help="Feature column; repeatable [default: all others].")
@click.option("--categorical", multiple=True, metavar="COLUMN", help="Feature that is a category though it looks like a number.")
@click.option("--exact-labels", is_flag=True, help="Keep labels apart that differ only in case (letters, product codes).")
@click.option("--size", type=click.IntRange(8, 1024), default=224, show_default=True, help="Side of an image input.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of sampled splits.")
@click.option("--out", type=FILE, default=Path("manifest.yaml"), show_default=True, help="Manifest to write.")
@click.option("--id", metavar="COLUMN", help="Column of sample ids [default: id, else the column of paths].")
@click.option("--path", metavar="COLUMN", help="Column of image files, relative to --images [default: path].")
@click.option("--split", metavar="COLUMN", help="Column with train, val, test [default: split, else sampled].")
@click.option("--subject", metavar="COLUMN", help="Column of the person that a sample belongs to.")
@click.option("--name", metavar="NAME", help="Dataset name [default: the table's].")
@click.pass_context
@loads("the data")
def import_(ctx: click.Context, /, dataset: str | None, data_root: Path | None, download: bool, out: Path, **own: Any) -> None:
    """Make a manifest for your own data, or get a published dataset ready."""
    _refuse_mixed(ctx, dataset)
    if dataset is None:
        _import_own(out, own)
        return
    from grmu_audit.workflows.datasets import download as get

    if download:
        get(dataset, data_root or Path())
    ctx.invoke(describe, name=dataset, data_root=data_root, data_option=(), forget=None, svg=None)
    next_step(f"grmu-audit pretrain --name {dataset} --data {dataset}" + (f" --data-root {data_root}" if data_root else ""))


def _refuse_mixed(ctx: click.Context, dataset: str | None) -> None:
    """Options of a published dataset and of own data exclude each other on the command line, so that none is ignored there."""
    options = [param for param in ctx.command.params if param.name != "dataset"]
    given = [param for param in options if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE]
    for param in given:
        of_published, name = param.name in ("data_root", "download"), param.opts[0]
        if dataset is None and of_published:
            raise click.UsageError(f"{name} goes with the name of a published dataset")
        if dataset is not None and not of_published:
            hint = (
                "the name of your own data goes into --name"
                if name in ("--table", "--images")
                else f"{name} is for your own data"
            )
            raise click.UsageError(f"{dataset} and {name} exclude each other: {hint}")


def _import_own(out: Path, own: dict[str, Any]) -> None:
    from grmu_audit.data.import_table import ImportOptions, import_data
    from grmu_audit.errors import InputError

    attribute_file = own.pop("attribute_file")
    if own["table"] is None and own["images"] is not None:
        own |= _import_folder(out, own, attribute_file)
    elif attribute_file is not None:
        raise click.UsageError("--attribute-file goes with --images alone: a --table has its attributes as columns")
    if own["table"] is None or own["target"] is None:
        raise InputError(
            "give the name of a published dataset, --table FILE --target COLUMN --attribute COLUMN, or --images FOLDER with one "
            "sub-folder per class"
        )
    done = import_data(ImportOptions(**{**own, "path": own["path"] or "path"}), out)
    manifest = done.manifest
    words = ", ".join(manifest.target.words)
    say(f"{out}: {manifest.kind}, target {manifest.target.column} ({words}); positive: {done.positive}")
    for fact in done.facts:
        say(fact)
    for warning in done.warnings:
        say(f"warning: {warning}", err=True)
    next_step(f"grmu-audit data describe {out}")


def _import_folder(out: Path, own: dict[str, Any], attribute_file: Path | None) -> dict[str, Any]:
    """Write the table of a folder of classes beside the manifest; returns the options of its import."""
    from grmu_audit.data.import_folder import write_table

    found = write_table(own["images"], out.with_suffix(".csv"), attribute_file, own["seed"])
    for fact in found.facts:
        say(fact)
    attributes = own["attributes"] or found.attributes
    return {"table": found.path, "target": own["target"] or "class", "attributes": attributes}
