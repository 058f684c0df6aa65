"""Take the classifying layer off a network, so that its features come out."""

from __future__ import annotations

from torch import nn

from grmu_audit.errors import InputError

FOREIGN_HEAD = "foreign_head"
"""Attribute of a body: the path that the head had in the network it was taken from, such as ``fc``."""

FOREIGN_ROOT = "foreign_root"
"""Attribute of a body: its one part that others also save alone, without this name before theirs, such as ``bert``."""


def detach_head(network: nn.Module, name: str) -> tuple[nn.Module, int]:
    """Replace the last layer of a network, in place, by the identity.

    Args:
        network: its last layer with parameters, in order of definition, is linear.
        name: what to call it in messages.

    Returns:
        The network, which now returns its penultimate features, and their width.

    Raises:
        InputError: the last layer is not linear.
    """
    owners = [(path, module) for path, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))]
    path, last = owners[-1] if owners else ("", network)
    if not path or not isinstance(last, nn.Linear):
        raise InputError(f"{name} ends in {type(last).__name__}, not in a linear layer: no other head can be put there")
    parent, _, leaf = path.rpartition(".")
    setattr(network.get_submodule(parent), leaf, nn.Identity())
    setattr(network, FOREIGN_HEAD, path)
    return network, last.in_features
