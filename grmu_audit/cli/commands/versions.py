"""Commands that register versions: ``register``, ``pretrain``, ``retrain`` and ``unlearn``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grmu_audit.cli.options import (
    FILE,
    architecture_options,
    data_options,
    earlier_forget_option,
    loads,
    model_option,
    next_step,
    open_session,
    parse_settings,
    search_options,
    seed_option,
    settings_option,
    systems_option,
    whole_subjects_option,
)
from grmu_audit.cli.output import say
from grmu_audit.cli.training_options import forget_or_requests, job_options

if TYPE_CHECKING:
    from grmu_audit.data.catalog import DataSpec
    from grmu_audit.jobs import JobOptions
    from grmu_audit.records import ModelRef
    from grmu_audit.workflows.session import Session


@click.command("register")
@click.option("--name", required=True, metavar="NAME", help="Model name to register under.")
@click.option("--weights", type=FILE, help="The checkpoint: safetensors, or a .pth that holds tensors alone.")
@click.option(
    "--bind", is_flag=True, help="Instead: measure versions of NAME without a registration record again, and record them."
)
@data_options
@architecture_options
@click.option("--started-from", type=FILE, help="Weights that its training started from, for retraining.")
@click.option(
    "--preprocess", metavar="FILE|torchvision:NAME", help="How its inputs are prepared [default: as its file or the data says]."
)
@click.option(
    "--expect-accuracy",
    metavar="0.98",
    help="Test accuracy that its owner measured; the checkpoint is refused where it has another.",
)
@settings_option
@seed_option(0)
@click.pass_context
@loads("PyTorch, the store and the data")
def register_command(
    ctx: click.Context,
    /,
    name: str,
    weights: Path | None,
    bind: bool,
    data: DataSpec,
    architecture: str,
    architecture_option: tuple[str, ...],
    started_from: Path | None,
    preprocess: str | None,
    expect_accuracy: str | None,
    settings: tuple[str, ...],
    seed: int,
) -> None:
    """Register an existing checkpoint as a pretrain version, and evaluate it at once.

    --set states the recipe that it was trained with, which 'retrain' repeats.
    """
    if (weights is None) != bind:
        raise click.UsageError("give --weights FILE for a new version, or --bind for versions without a registration record")
    if weights is None:
        _bind_versions(ctx, name)
        return
    from grmu_audit.cli.tables import baseline_table
    from grmu_audit.workflows.versions.agreement import expected_accuracy
    from grmu_audit.workflows.versions.network import NetworkChoice
    from grmu_audit.workflows.versions.pretraining import TrainingOptions, register

    network = NetworkChoice(architecture, parse_settings(architecture_option), started_from)
    expected = expected_accuracy(expect_accuracy) if expect_accuracy else None
    options = TrainingOptions(parse_settings(settings), seed, expected)
    if preprocess:
        from grmu_audit.data.catalog import PREPROCESS
        from grmu_audit.data.preprocess import read_preprocess

        data = replace(data, options={**data.options, PREPROCESS: read_preprocess(preprocess).to_json()})
    done = register(open_session(ctx), name, weights, data, network, options)
    click.echo(done.ref.label)
    click.echo(baseline_table(done.metrics, done.groups))
    _propose_sampling(done.ref)


def _bind_versions(ctx: click.Context, name: str) -> None:
    """Bind versions, and print which, and the next step."""
    from grmu_audit.workflows.measured_again import bind

    bound = bind(open_session(ctx), name)
    say(f"bound: {', '.join(ref.label for ref in bound)}" if bound else f"every version of {name} has its record already")
    if bound:
        next_step(f"grmu-audit audit --model {bound[-1].label}")


@click.command("pretrain")
@click.option("--name", required=True, metavar="NAME", help="Model name to register under.")
@data_options
@architecture_options
@click.option("--weights", type=FILE, help="Weights to start from: safetensors, or a .pth that holds tensors alone.")
@click.option("--pretrained", metavar="imagenet|NAME", help="Start from torchvision's published weights.")
@click.option("--preset", metavar="paper[:DATASET]", help="The seed paper's recipe for the dataset; --set wins over it.")
@click.option("--group-dro", is_flag=True, help="Minimise the worst group's loss (Group-DRO); retraining repeats it.")
@settings_option
@seed_option(0)
@click.option("--resume", is_flag=True, help="Continue an interrupted run of the same options after its last whole epoch.")
@click.pass_context
@loads("PyTorch, the store and the data")
def pretrain_command(
    ctx: click.Context,
    /,
    name: str,
    data: DataSpec,
    architecture: str,
    architecture_option: tuple[str, ...],
    weights: Path | None,
    pretrained: str | None,
    preset: str | None,
    group_dro: bool,
    settings: tuple[str, ...],
    seed: int,
    resume: bool,
) -> None:
    """Train on all training samples and register the version."""
    from grmu_audit.workflows.versions.followers import followed
    from grmu_audit.workflows.versions.network import NetworkChoice
    from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain

    network = NetworkChoice(architecture, parse_settings(architecture_option), weights, pretrained)
    options = TrainingOptions(parse_settings(settings), seed, preset=preset, group_dro=group_dro)
    session = open_session(ctx)
    if followed(session):
        return
    ref = pretrain(session, name, data, network, options, resume)
    click.echo(ref.label)
    _propose_sampling(ref)


def _propose_sampling(ref: ModelRef) -> None:
    next_step(f"grmu-audit forget sample --model {ref.label} --group TARGET,ATTRIBUTE --ratio 0.5 --out ids.csv")


@click.command("retrain")
@model_option
@forget_or_requests
@whole_subjects_option
@click.option("--reweight", is_flag=True, help="Sample the retain set so that the group mix stays what it was.")
@click.option("--group-dro", is_flag=True, help="Minimise the worst group's loss (Group-DRO) on group-balanced batches.")
@search_options
@settings_option
@seed_option(None)
@click.option("--seeds", type=click.IntRange(min=1), default=1, metavar="N", help="Versions of N seeds, from --seed on.")
@job_options
@systems_option
@earlier_forget_option
@click.pass_context
@loads("PyTorch, the store and the data")
def retrain_command(
    ctx: click.Context,
    /,
    model: str,
    forget: Path | tuple[str, ...],
    group_dro: bool,
    settings: tuple[str, ...],
    seeds: int,
    jobs: JobOptions,
    systems: Path | None,
    earlier_forget: Path | None,
    **how: Any,
) -> None:
    """Train again from fresh weights without the forget set: the exact reference.

    Settings default to those that the model was pretrained with.
    """
    from grmu_audit.workflows.versions.followers import followed
    from grmu_audit.workflows.versions.method_choice import UnlearnOptions
    from grmu_audit.workflows.versions.unlearning import request_option, retrain_seeds

    values = parse_settings((*settings, *(("group_dro=true",) if group_dro else ())))
    session = open_session(ctx, jobs)
    if followed(session):
        return
    _record_lost_key(session, model, earlier_forget)
    for ref in retrain_seeds(session, model, forget, seeds, UnlearnOptions(settings=values, **how), systems):
        click.echo(ref.label)
    next_step(f"grmu-audit unlearn --model {model} {request_option(forget)}")


@click.command("unlearn")
@model_option
@forget_or_requests
@whole_subjects_option
@click.option(
    "--method",
    default="shrink",
    show_default=True,
    help="Method by name ('grmu-audit methods'), or auto: by the kind of the request.",
)
@click.option("--reweight/--no-reweight", default=None, help="REWEIGHT sampling of the retain set [default: the method's own].")
@click.option(
    "--layers", metavar="K|NAME", help="Move only the last K stages (with the head), or a named layer and all after it."
)
@click.option(
    "--keep-collapsed", is_flag=True, help="Register a version that lost more than 15 points of accuracy too, for research."
)
@search_options
@settings_option
@seed_option(None)
@job_options
@systems_option
@earlier_forget_option
@click.pass_context
@loads("PyTorch, the store and the data")
def unlearn_command(
    ctx: click.Context,
    /,
    model: str,
    forget: Path | tuple[str, ...],
    layers: str | None,
    settings: tuple[str, ...],
    jobs: JobOptions,
    systems: Path | None,
    earlier_forget: Path | None,
    **how: Any,
) -> None:
    """Create a version of a model without the forget set and register it.

    The data is found through the model's registry tags.
    """
    from grmu_audit.workflows.versions.followers import followed
    from grmu_audit.workflows.versions.method_choice import UnlearnOptions
    from grmu_audit.workflows.versions.unlearning import unlearn

    values = parse_settings((*settings, *((f"layers='{layers}'",) if layers else ())))
    session = open_session(ctx, jobs)
    if followed(session):
        return
    _record_lost_key(session, model, earlier_forget)
    ref = unlearn(session, model, forget, UnlearnOptions(settings=values, **how), systems)
    click.echo(ref.label)
    next_step(f"grmu-audit audit --model {ref.label}")


def _record_lost_key(session: Session, model: str, earlier_forget: Path | None) -> None:
    """Record the lineage's requests under the session's key where theirs is lost."""
    if earlier_forget is not None:
        from grmu_audit.workflows.keys import rekey_lost

        rekey_lost(session, model, earlier_forget)
