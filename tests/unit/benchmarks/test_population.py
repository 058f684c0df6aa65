"""A tiny population is made, interrupted, resumed and loaded; every part is the real one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.measurements import gate_results
from benchmarks.measurements.gate import BEFORE, CELLS, KINDS, Scale
from benchmarks.measurements.gate_results import judge_models, kept_results, model_hours
from benchmarks.measurements.population import Trial, load, load_facts, make_population, missing_jobs, path_of, read
from benchmarks.pages.gate import Progress, known_facts, summary
from grmu_audit.errors import IntegrityError

TINY = Scale(epochs=2, widths=(4, 8), renders=1)
CELL, SEED = CELLS["B"], 3
CPU = torch.device("cpu")
pytestmark = pytest.mark.slow
STOP_AFTER = 5


class Recorder:
    """Names of the kinds that were made; stops the run after some of them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.made: list[str] = []
        self.stop_after = stop_after

    def __call__(self, job, facts, left):
        self.made.append(job.kind.name)
        if len(self.made) == self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A population that was interrupted once and then finished; checks what each run made."""
    folder = tmp_path_factory.mktemp("population")
    first, second = Recorder(STOP_AFTER), Recorder()
    with pytest.raises(KeyboardInterrupt):
        make_population(missing_jobs([CELL], [SEED], folder, TINY), folder, first, TINY)
    make_population(missing_jobs([CELL], [SEED], folder, TINY), folder, second, TINY)
    assert first.made == [kind.name for kind in KINDS[:STOP_AFTER]]
    assert second.made == [kind.name for kind in KINDS[STOP_AFTER:]]
    return folder


def test_finished_population_is_not_made_again(cache):
    assert missing_jobs([CELL], [SEED], cache, TINY) == []
    assert len(list(cache.glob("*.model"))) == len(KINDS)


def test_models_that_no_request_was_made_to_are_shared_by_the_cells_of_a_recipe(cache):
    others = missing_jobs([CELLS["D"], CELLS["C"]], [SEED], cache, TINY)
    shared = {kind.name for kind in KINDS if kind.method is None}
    assert shared == {"before", "trained on everything, other seed"}
    assert [job.kind for job in others if job.cell.name == "C"] == [kind for kind in KINDS if kind.method is not None]
    assert {(job.cell.name, job.kind.name) for job in others if job.kind.method is None} == set()
    with_augmentation = missing_jobs([CELLS["A"]], [SEED], cache, TINY)
    assert [job.kind for job in with_augmentation] == list(KINDS)


def test_models_come_cell_by_cell_and_those_of_which_nothing_is_claimed_last(tmp_path):
    found = missing_jobs([CELLS["D"], CELLS["B"]], [4, 3], tmp_path, TINY)
    claimed = [job for job in found if job.kind.role != "method"]
    assert found[: len(claimed)] == claimed
    for part in (claimed, found[len(claimed) :]):
        order = list(dict.fromkeys((job.cell.name, job.seed) for job in part))
        assert order == [("D", 4), ("D", 3), ("B", 4), ("B", 3)]
    assert len(found) == 4 * len(KINDS) - 2 * 2


def test_every_model_but_those_that_diverged_has_predictions_under_the_request(cache):
    found, facts = load(cache, CELL, SEED, TINY), load_facts(cache, CELL, SEED, TINY)
    assert set(facts) == {kind.name for kind in KINDS}
    assert set(found) == {name for name, one in facts.items() if one["diverged"] is None} >= {"before", "retrained, seed 1"}
    rare = 40
    for name, predictions in found.items():
        assert len(predictions) == 1797, name
        assert predictions.mask("retain").sum() + predictions.mask("forget").sum() == 1100
        assert abs(predictions.mask("forget").sum() - rare) < 12
        assert set(predictions.group[predictions.mask("forget")]) == {2}
        assert np.array_equal(predictions.ids, found["before"].ids)
        assert np.array_equal(predictions.prediction, predictions.logits.argmax(1))
        assert predictions.subject is not None


def test_stored_logits_are_those_of_the_model(cache, tmp_path):
    """Another folder gives the same numbers, also for a model that starts from the stored weights."""
    trial = Trial(CELL, SEED, TINY, tmp_path, CPU)
    found = load(cache, CELL, SEED, TINY)
    for kind in (KINDS[4], BEFORE, next(kind for kind in KINDS if kind.name == "head fine-tuned")):
        logits = trial.make(kind)[1]["logits"]
        assert logits.dtype == np.float32
        assert np.array_equal(logits, found[kind.name].logits)


def test_kinds_differ_as_they_say(cache):
    facts, found = load_facts(cache, CELL, SEED, TINY), load(cache, CELL, SEED, TINY)
    distance = {name: one["distance"] for name, one in facts.items() if one["diverged"] is None}
    assert distance["before"] == 0
    assert 0 < distance["weight noise 0.0001"] < distance["weight noise 0.001"] < distance["weight noise 0.03"]
    must = [kind.name for kind in KINDS if kind.role == "must not pass" and kind.name in found]
    assert all(distance[name] > 0 for name in must)
    assert len({found[name].logits.tobytes() for name in must}) == len(must)
    retrained = [name for name in found if name.startswith("retrained")]
    assert min(distance[name] for name in retrained) > distance["one epoch at 1e-7"]
    assert all(facts[name]["sample_gradients"] > 0 for name in must if not name.startswith("weight noise"))
    assert facts["weight noise 0.001"]["sample_gradients"] == 0
    assert facts["retrained, seed 1"]["sample_gradients"] == 2 * (1100 - found["before"].mask("forget").sum())


def test_head_ascent_raises_the_loss_of_the_forget_set(cache):
    found = load(cache, CELL, SEED, TINY)

    def loss(name):
        one = found[name]
        shifted = one.logits - one.logits.max(1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        return -log_p[np.arange(len(one)), one.target][one.mask("forget")].mean()

    assert loss("head trained against the forget set") > loss("before")


def test_settings_that_differ_have_other_keys():
    def key(kind=BEFORE, cell=CELL, seed=SEED, scale=TINY):
        return kind.key(cell, seed, scale)

    retrained, switched = KINDS[1], next(kind for kind in KINDS if kind.switched)
    assert key() == key()
    different = [
        key(),
        key(seed=4),
        key(scale=replace(TINY, epochs=3)),
        key(scale=replace(TINY, widths=(4, 9))),
        key(scale=replace(TINY, renders=2)),
        key(cell=CELLS["A"]),
        key(retrained),
        key(retrained, CELLS["D"]),
        key(retrained, CELLS["C"]),
        key(retrained, replace(CELL, ratio=0.51)),
        key(replace(retrained, other_seed=9)),
        key(replace(retrained, reweight=True)),
        key(replace(retrained, settings={"weight_decay": 0.0})),
        key(switched),
        key(replace(switched, switched=False)),
    ]
    assert len(set(different)) == len(different)
    assert key(cell=CELLS["B"]) == key(cell=CELLS["D"]) == key(cell=CELLS["E"])
    assert len({kind.key(CELL, SEED, TINY) for kind in KINDS}) == len(KINDS)


def test_damaged_file_is_named(cache, tmp_path):
    path = path_of(tmp_path, BEFORE, CELL, SEED, TINY)
    whole = path_of(cache, BEFORE, CELL, SEED, TINY).read_bytes()
    for content in (whole[:-20], b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match=f"{path.name} is damaged"):
            read(path)


def test_cpu_time_of_shared_models_counts_once(cache):
    facts = load_facts(cache, CELL, SEED, TINY)
    one = known_facts(cache, [CELL], [SEED], TINY)
    both = known_facts(cache, [CELL, CELLS["D"]], [SEED], TINY)
    assert set(both["D", SEED]) == {kind.name for kind in KINDS if kind.method is None}
    expected = sum(one["seconds"] for one in facts.values()) / 3600
    assert model_hours(one.values()) == pytest.approx(expected)
    assert model_hours(both.values()) == pytest.approx(expected)
    lines = summary(both).splitlines()
    assert lines[0] == "| kind | B | D | CPU seconds each |"
    assert len(lines) == 2 + len(KINDS) + 2
    assert f"| ft | 1 | 0 | {facts['ft']['seconds']:.1f} |" in lines


def test_time_left_follows_from_the_models_that_are_there(cache, capsys):
    known = known_facts(cache, [CELL], [SEED], TINY)
    left = [*missing_jobs([CELLS["D"]], [SEED], cache, TINY)]
    progress = Progress(known)
    progress.start, progress.spent = progress.start - 7.0, 0.0
    job, facts = left[0], {"seconds": 3.5, "diverged": None}
    progress(job, facts, left[1:])
    line = capsys.readouterr().err
    assert line.startswith(f"D 3 {job.kind.name}: made, 3.5 s CPU; {len(left) - 1} left")
    cpu = sum(known["B", SEED][job.kind.name]["seconds"] for job in left[2:])
    assert progress.minutes_for(left[2:]) * 60 == pytest.approx(2 * cpu, rel=0.05), "half a CPU was had"


def test_what_was_judged_once_stays_when_the_models_are_gone(cache, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(gate_results, "judge_cell", lambda cell, seed, outputs: seen.append(outputs) or [])
    judge = lambda models: [one.cell for one in judge_models(tmp_path, models, [CELL], [SEED], TINY)]  # noqa: E731
    assert judge(cache) == [CELL.name]
    assert judge(cache) == []
    monkeypatch.setattr(gate_results, "code_digest", lambda: "other code")
    assert judge(cache) == [CELL.name]
    assert judge(tmp_path / "nothing") == []
    (kept,) = kept_results(tmp_path)
    assert kept.code == "other code"
    assert set(kept.models) == {kind.name for kind in KINDS}
    assert [set(outputs) <= {kind.name for kind in KINDS} and len(outputs) > 3 for outputs in seen] == [True, True]
