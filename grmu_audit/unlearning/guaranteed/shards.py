"""Exact removal from an ensemble whose members share no row: only the members that read forgotten rows are trained again."""

from __future__ import annotations

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.models.catalog import reinitialised
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.fit import TrainingRows, fit_members
from grmu_audit.training.guaranteed.shards import member_digests, require_ensemble, same_bits, shard_of_rows
from grmu_audit.training.runtime import Runtime, derive_seed, move_to
from grmu_audit.unlearning.data import Rows, UnlearningData
from grmu_audit.unlearning.method import Method, MethodConfig, register


class RetrainShardsConfig(MethodConfig):
    """The training recipe of each member, on what remains of its shard."""

    keep_best: bool = True
    """As in pretraining: the best validation epoch of each member."""


def retrain_shards(model: Classifier, data: UnlearningData, config: RetrainShardsConfig, runtime: Runtime) -> Classifier:
    """Fresh weights for every member whose shard holds a row that is newly forgotten, and its full training on what remains.

    The other members stay as they are, bit for bit, which is checked.  With the seed of the training before, the result is that
    of retraining the whole ensemble without the forget set, bit for bit.  REWEIGHT weighs the rows inside each retrained shard.

    Raises:
        InputError: the network is no ensemble of shards, the model it starts from has forgotten these rows already, or a shard
            would be empty.
    """
    body = require_ensemble(model)
    new = newly_forgotten(data)
    touched = sorted(set(shard_of_rows(model, data.source, new).tolist()))
    kept = [number for number in range(body.options.shards) if number not in touched]
    fresh = reinitialised(model, derive_seed(runtime.seed, "init"))
    for number in kept:
        require_ensemble(fresh).members[number].load_state_dict(body.members[number].state_dict())
    move_to(fresh, runtime.device)
    rows = TrainingRows(data.retain, data.val, data.retain_weights)
    result = fit_members(fresh, data.source, rows, config, runtime, touched)
    moved = [n for n in kept if not same_bits(body.members[n], require_ensemble(result).members[n])]
    if moved:
        raise InputError(f"sisa: members {moved} changed although no forgotten row lies in their shards; nothing was registered")
    runtime.notes["shards"] = {
        "retrained": touched,
        "unchanged": kept,
        "sha256_before": member_digests(model),
        "sha256": member_digests(result),
    }
    return result


def newly_forgotten(data: UnlearningData) -> Rows:
    """The rows of the forget set that the model it starts from was trained with.

    Raises:
        InputError: there are none.
    """
    new = np.setdiff1d(data.forget, data.served)
    if not len(new):
        raise InputError("every row of the list was forgotten by an earlier request of this lineage: nothing is left to remove")
    return new


register(
    Method(
        name="retrain_shards",
        title="the members of an ensemble that read forgotten rows trained again, the others unchanged",
        run=retrain_shards,
        config=RetrainShardsConfig,
        exact=True,
        needs=frozenset({"retain"}),
        reference="Bourtoule et al. 2021, Machine Unlearning (SISA, arXiv 1912.03817), one slice per shard",
        cost="E R / S for each of the S shards that is touched",
        requires="sisa",
    )
)
