"""Architectures by name: this project's, torchvision's, and those of the operator's allow-list."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.models.architecture import Builder, custom_builder, image_shape, options_of
from grmu_audit.models.classifier import Classifier, ModelSpec, StartWeights
from grmu_audit.models.guaranteed import LinearBody, LinearOptions, ShardEnsemble, ShardOptions, member_spec
from grmu_audit.models.small_networks import SmallResnetOptions
from grmu_audit.utils.plugins import Registry, did_you_mean

architectures: Registry[Builder] = Registry("architecture", "grmu_audit.architectures")
"""Builders by name; each returns the body and the width of its features.  torchvision's are not listed here."""


def build(spec: ModelSpec, seed: int, start: StartWeights | None = None) -> Classifier:
    """A freshly initialised network; the same weights for the same seed, whatever ran before.

    Args:
        spec: what to build.
        seed: of everything that ``start`` does not hold.
        start: weights to begin with, by the network's own names.

    Raises:
        NotFoundError: no architecture of that name.
        InputError: an option is unknown or impossible, or the architecture is not allowed here.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body, width = builder_of(spec.architecture)(spec)
        head = body.averaging_head() if isinstance(body, ShardEnsemble) else nn.Linear(width, spec.classes)
        model = Classifier(body, head, spec, start)
    if start is not None:
        model.load_state_dict({**model.state_dict(), **start.tensors})
    return model


def reinitialised(model: Classifier, seed: int) -> Classifier:
    """The network as it was before any training, with another seed: its start weights where it had some.

    Raises:
        InputError: it started from weights that are not at hand.
    """
    if model.spec.start and model.start is None:
        raise InputError(
            f"this {model.spec.architecture} started from weights of SHA-256 {model.spec.start}, which are missing: they are "
            "an artifact of the run that pretrained it, and it cannot be trained again without them"
        )
    return build(model.spec, seed, model.start)


def builder_of(name: str) -> Builder:
    """The builder of an architecture.

    Raises:
        NotFoundError: no architecture of that name.
        InputError: ``package.module:function`` that is not on the allow-list, or cannot be loaded.
    """
    if ":" in name:
        return custom_builder(name)
    own = architectures.names()
    if name in own:
        return architectures.get(name)
    from grmu_audit.models.torchvision_models import torchvision_body, torchvision_names

    known = [*own, *torchvision_names()]
    if name not in known:
        raise NotFoundError(
            f"no architecture {name!r}{did_you_mean(name, known)}; known: {', '.join(own)}, torchvision's classifiers, and "
            "package.module:function"
        )
    return partial(torchvision_body, name)


@architectures.register("small_resnet")
def _small_resnet(spec: ModelSpec) -> tuple[nn.Module, int]:
    from grmu_audit.models.small_networks import small_resnet_body

    widths = options_of(SmallResnetOptions, spec).widths
    return small_resnet_body(image_shape(spec)[0], widths), widths[-1]


@architectures.register("small_vit")
def _small_vit(spec: ModelSpec) -> tuple[nn.Module, int]:
    from grmu_audit.models.small_networks import SmallVit, SmallVitOptions

    options = options_of(SmallVitOptions, spec)
    return SmallVit(image_shape(spec), options), options.dim


@architectures.register("mlp")
def _mlp(spec: ModelSpec) -> tuple[nn.Module, int]:
    from grmu_audit.models.small_networks import MlpOptions, mlp_body

    options = options_of(MlpOptions, spec)
    return mlp_body(spec.image_size, options), options.hidden[-1]


@architectures.register("bert")
def _bert(spec: ModelSpec) -> tuple[nn.Module, int]:
    from grmu_audit.models.bert import BertOptions, bert_body

    options = options_of(BertOptions, spec)
    return bert_body(spec, options), options.hidden


@architectures.register("linear")
def _linear(spec: ModelSpec) -> tuple[nn.Module, int]:
    if spec.kind == "text":
        raise InputError("linear is for tables, features and images, not for texts: use bert")
    return LinearBody(options_of(LinearOptions, spec)), math.prod(spec.image_size)


@architectures.register("sisa")
def _sisa(spec: ModelSpec) -> tuple[nn.Module, int]:
    options = options_of(ShardOptions, spec)
    if options.member == spec.architecture:
        raise InputError("sisa: a member is a network of its own, not another ensemble")
    if any(place >= options.shards for group in options.places for place in group):
        raise InputError(f"sisa: places names a shard that is not there: there are {options.shards}, from 0")
    make, one = builder_of(options.member), member_spec(spec, options)
    members = [_with_head(*make(one), spec.classes) for _ in range(options.shards)]
    return ShardEnsemble(spec, options, members), options.shards * spec.classes


def _with_head(body: nn.Module, width: int, classes: int) -> nn.Module:
    """A member: body, then head."""
    return nn.Sequential(body, nn.Linear(width, classes))
