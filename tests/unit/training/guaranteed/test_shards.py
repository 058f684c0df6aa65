"""Training by shards: each member as if it were alone, with a record of what it read; and exact removal from it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from support.tiny import dataset, runtime, tiny
from support.weights import weights_digest

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import InputError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.guaranteed.shards import member_digests, require_ensemble, same_bits, shard_of_rows
from grmu_audit.training.runtime import derive_seed, move_to
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods

SHARDS = 6
SETTINGS = {"epochs": 2, "batch_size": 16}
METHOD = methods.get("retrain_shards")


def spec() -> ModelSpec:
    header, options = dataset().header, {"shards": SHARDS, "member_options": {"widths": [4, 6]}}
    return ModelSpec("sisa", 2, header.image_size, header.mean, header.std, header.class_names, options)


def train_rows() -> np.ndarray:
    return np.sort(np.concatenate([tiny().data.retain, tiny().data.forget]))


@cache
def trained() -> Classifier:
    model = build(spec(), derive_seed(0, "init"))
    move_to(model, torch.device("cpu"))
    return fit(model, tiny().source, TrainingRows(train_rows(), tiny().data.val), TrainConfig(**SETTINGS), runtime())


def request(count: int, served: int = 0) -> UnlearningData:
    forget = tiny().data.forget[:count]
    return replace(tiny().data, forget=forget, retain=np.setdiff1d(train_rows(), forget), served=forget[:served])


def test_untouched_members_are_equal_bit_for_bit_and_the_whole_equals_full_retraining() -> None:
    data, here = request(2), runtime()
    result = apply_method(METHOD, trained(), data, METHOD.config(**SETTINGS), here)
    touched = set(shard_of_rows(trained(), data.source, data.forget).tolist())
    assert 0 < len(touched) < SHARDS
    facts = here.notes["shards"]
    assert facts["retrained"] == sorted(touched)
    for number in range(SHARDS):
        one, other = require_ensemble(trained()).members[number], require_ensemble(result).members[number]
        assert same_bits(one, other) is (number not in touched)
        assert (facts["sha256"][number] == facts["sha256_before"][number]) is (number not in touched)
    whole = apply_method(methods.get("retrain"), trained(), data, methods.get("retrain").config(**SETTINGS), runtime())
    assert weights_digest(whole) == weights_digest(result)
    assert facts["sha256"] == member_digests(result)


def test_a_shard_does_not_change_when_rows_leave_data_that_names_no_people() -> None:
    whole = replace(dataset(), header=replace(dataset().header, subject_name=""))
    frame = whole.frame.assign(subject=range(len(whole)))
    rest = frame.iloc[1:].reset_index(drop=True).assign(subject=range(len(whole) - 1))  # as readers number the rest
    cpu, body = torch.device("cpu"), build(spec(), 0)
    before = BatchSource(replace(whole, frame=frame), cpu)
    after = BatchSource(replace(whole, frame=rest, pixels=np.asarray(whole.pixels)[1:]), cpu)
    shard = shard_of_rows(body, before, np.arange(1, len(whole)))
    assert np.array_equal(shard, shard_of_rows(body, after, np.arange(len(whole) - 1)))


def test_the_next_request_retrains_only_its_own_shards() -> None:
    first = apply_method(METHOD, trained(), request(1), METHOD.config(**SETTINGS), runtime())
    here, data = runtime(), request(2, served=1)
    second = apply_method(METHOD, first, data, METHOD.config(**SETTINGS), here)
    assert here.notes["shards"]["retrained"] == shard_of_rows(first, data.source, data.forget[1:]).tolist()
    both = apply_method(METHOD, trained(), request(2), METHOD.config(**SETTINGS), runtime())
    assert weights_digest(second) == weights_digest(both)


def test_the_cost_is_that_of_the_shards() -> None:
    data, here = request(2), runtime()
    apply_method(METHOD, trained(), data, METHOD.config(**SETTINGS), here)
    shard = shard_of_rows(trained(), data.source, data.retain)
    assert here.sample_gradients == SETTINGS["epochs"] * int(np.isin(shard, here.notes["shards"]["retrained"]).sum())


def test_every_member_reads_its_own_shard_alone() -> None:
    source, here = BatchSource(dataset(), torch.device("cpu")), runtime()
    here.rows_read = source.record_rows(np.arange(len(dataset())))
    model = build(spec(), 0)
    fit(model, source, TrainingRows(train_rows()), TrainConfig(**SETTINGS), here)
    shard = shard_of_rows(model, source, train_rows())
    for number in range(SHARDS):
        assert np.flatnonzero(here.shard_rows[number].numpy()).tolist() == train_rows()[shard == number].tolist()
    assert np.flatnonzero(here.rows_read.numpy()).tolist() == train_rows().tolist()


def test_an_ensemble_is_not_trained_as_a_whole() -> None:
    for name in ("cf", "shrink", "neggrad_plus"):
        method = methods.get(name)
        with pytest.raises(InputError, match="share no row, which training it as a whole would end"):
            apply_method(method, trained(), request(2), method.config(**SETTINGS), runtime())


def test_other_networks_empty_shards_and_requests_served_before_are_refused() -> None:
    with pytest.raises(InputError, match=r"is a small_resnet: only an ensemble .* use retrain"):
        apply_method(METHOD, tiny().model, tiny().data, METHOD.config(), runtime())
    with pytest.raises(InputError, match="nothing is left to remove"):
        apply_method(METHOD, trained(), request(2, served=2), METHOD.config(), runtime())
    data = request(2)
    shard = shard_of_rows(trained(), data.source, data.retain)
    gone = int(shard_of_rows(trained(), data.source, data.forget[:1])[0])
    with pytest.raises(InputError, match=f"shard {gone} has no rows"):
        apply_method(METHOD, trained(), replace(data, retain=data.retain[shard != gone]), METHOD.config(), runtime())


def test_reweighting_acts_inside_the_shards() -> None:
    plain = apply_method(METHOD, trained(), request(2), METHOD.config(**SETTINGS), runtime())
    weighted = apply_method(METHOD, trained(), request(2).reweighted(), METHOD.config(**SETTINGS), runtime())
    assert weights_digest(plain) != weights_digest(weighted)
