"""``--tune N``: the best of N configurations by validation groups and a held-out attack, never by a retrained model."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.errors import DivergedError, InputError
from grmu_audit.jobs import Job, JobFolder
from grmu_audit.records import ModelRef
from grmu_audit.tracking.names import TAG_FAILURE, TAG_TRIAL
from grmu_audit.utils import canonical_json
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import MethodChoice
from grmu_audit.workflows.versions.network import load_network
from grmu_audit.workflows.versions.studies import FORGET, SERVED, WITHHELD, open_study, patiently, put_study, remove_study
from grmu_audit.workflows.versions.trial_score import TrialScorer, split_validation

if TYPE_CHECKING:
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.unlearning.data import UnlearningData
    from grmu_audit.unlearning.method import LogRange, Method

SCORE = "mean over groups of the accuracy lost on held-out validation rows + 2 |AUC - 0.5| of the loss attack on them"
"""Score of a trial; smaller is better."""


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried."""

    number: int
    """From 0; trial 0 is the starting configuration."""
    settings: dict[str, object]
    """Changed options."""
    accuracy_loss: float = math.nan
    """Mean over groups of max(0, accuracy of the original - accuracy now) on the held-out rows, in [0, 1]."""
    advantage: float = math.nan
    """2 |AUC - 0.5| of the loss attack between forget rows and held-out rows of the same group mix, in [0, 1]."""
    seconds: float = 0.0
    """Time taken."""
    failure: str = ""
    """Why there is no score."""

    @property
    def score(self) -> float:
        """``accuracy_loss + advantage``, smaller is better; NaN for a failed trial."""
        return self.accuracy_loss + self.advantage


@dataclass(frozen=True)
class Tuned:
    """The best trial and all of them."""

    best: Trial
    """Smallest score."""
    trials: tuple[Trial, ...]
    """In order."""
    run_id: str
    """Tracking run that holds them."""


def tune(session: Session, parent: ModelRef, data: UnlearningData, choice: MethodChoice, trials: int) -> Tuned:
    """Try configurations and record each as a run under one tuning run.

    Half of the validation rows of each group goes to the method (for stop rules and held-out references), the other half
    ranks the trials, so that no trial is ranked on rows that it used.  The test split and retrained models are not read.

    Args:
        session: store and device.
        parent: version to start from.
        data: the request's rows.
        choice: method, starting options and seed; options that the caller set are not varied.
        trials: number of trials, at least 1.

    Raises:
        InputError: there are no validation rows of the forget set's groups to rank by, or nothing to vary.
        DivergedError: every trial failed.
    """
    if not np.isin(data.groups_of(data.forget), data.groups_of(data.val)).any():
        raise InputError("--tune: trials are ranked on validation rows of the forget set's groups, and there are none")
    done = []
    with session.store.run(parent.name, "tune", parent=parent.run_id) as run:
        run.log_params({"method": choice.method.name, "trials": trials, "seed": choice.seed, "score": SCORE})
        wanted = [Trial(number, settings) for number, settings in enumerate(trial_settings(choice, trials))]
        for trial in _results(session, parent, data, choice, wanted):
            done.append(trial)
            patiently(session, partial(_record, session, parent, run.id, choice, trial))
        done.sort(key=lambda trial: trial.number)
        best = best_of(done)
        patiently(session, lambda: run.log_metrics({"distance": best.score, "best_trial": float(best.number)}))
    return Tuned(best, tuple(done), run.id)


def _results(
    session: Session, parent: ModelRef, data: UnlearningData, choice: MethodChoice, wanted: list[Trial]
) -> Iterator[Trial]:
    """The trials with their scores, in the order in which they end."""
    network, runner = load_network(session, parent, data.source.device), session.job_runner()
    if runner is None:
        search = _search(session, network, data, choice)
        yield from map(search.run, wanted)
        return
    names = np.asarray(session.pseudonyms_of(data.source.dataset), dtype=np.str_)
    withheld = np.setdiff1d(data.source.dataset.rows("val"), data.val)
    sets = {FORGET: names[data.forget].tolist(), SERVED: names[data.served].tolist(), WITHHELD: names[withheld].tolist()}
    study = put_study(session, runner.folder, parent, network, data.source.dataset, sets)
    fixed = {"study": study, "method": choice.method.name, "reweight": choice.reweight, "seed": choice.seed}
    jobs = [
        Job("tuning-trial", {**fixed, "number": trial.number, "settings": {**choice.settings, **trial.settings}})
        for trial in wanted
    ]
    for job, content in runner.run(jobs):
        numbers = json.loads(content)
        yield Trial(**{**numbers, **{name: math.nan for name, value in numbers.items() if value is None}})
        runner.folder.forget(job)
    remove_study(runner.folder, study)


def run_trial_job(job: Job, folder: JobFolder) -> bytes:
    """One trial on a worker: its fields as JSON, numbers that are undefined as null."""
    from grmu_audit.unlearning.methods import methods

    given, study = job.arguments, open_study(folder, job.arguments["study"])
    choice = MethodChoice(
        methods.get(given["method"]), dict(given["settings"]), frozenset(), bool(given["reweight"]), given["seed"]
    )
    search = _search(study.session, study.network, study.unlearning_data(choice.reweight), choice)
    fields = asdict(search.run(Trial(given["number"], {})))
    finite = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in fields.items()}
    return canonical_json(finite)


def _search(session: Session, network: Classifier, data: UnlearningData, choice: MethodChoice) -> _Search:
    """What all trials share; the validation rows are halved between the method and the ranking."""
    own, ranked = split_validation(data.val, data.groups_of(data.val), choice.seed)
    scorer = TrialScorer(network, data, ranked, session.runtime(choice.seed))
    return _Search(session, network, replace(data, val=own), choice, scorer)


def best_of(trials: list[Trial]) -> Trial:
    """The trial with the smallest score, the earlier one of equals; failed trials never win.

    Raises:
        DivergedError: all failed.
    """
    scored = [trial for trial in trials if math.isfinite(trial.score)]
    if not scored:
        raise DivergedError(
            f"--tune: all {len(trials)} trials failed, the last with: {trials[-1].failure}; nothing was registered"
        )
    return min(scored, key=lambda trial: trial.score)


def trial_settings(choice: MethodChoice, count: int) -> list[dict[str, object]]:
    """Starting options first, then random samples from the method's ranges.

    Raises:
        InputError: more than one trial is wanted and every option is set.
    """
    start = typed_config(choice.method.config, choice.settings)
    space = {name: span for name, span in search_space(choice.method, start).items() if name not in choice.set_by_caller}
    if count > 1 and not space:
        raise InputError(f"--tune: every option that method {choice.method.name!r} would vary is set: there is nothing to search")
    rng = np.random.default_rng([choice.seed, 104729])
    return [{}, *({name: _draw(rng, span) for name, span in space.items()} for _ in range(count - 1))]


def search_space(method: Method, start: Any) -> dict[str, LogRange | tuple[object, ...]]:
    """Learning rate within a factor 10 and epochs within a factor 2 where the method trains, and what it names itself."""
    from grmu_audit.unlearning.method import LogRange

    if not method.trains:
        return dict(method.search)
    epochs = tuple(sorted({max(1, start.epochs // 2), start.epochs, 2 * start.epochs}))
    return {"learning_rate": LogRange(start.learning_rate / 10, start.learning_rate * 10), "epochs": epochs, **method.search}


def _draw(rng: np.random.Generator, span: LogRange | tuple[object, ...]) -> object:
    if isinstance(span, tuple):
        return span[int(rng.integers(len(span)))]
    return float(f"{math.exp(rng.uniform(math.log(span.low), math.log(span.high))):.3g}")


@dataclass(frozen=True)
class _Search:
    """The shared settings of all trials."""

    session: Session
    network: Classifier
    data: UnlearningData
    choice: MethodChoice
    scorer: TrialScorer

    def run(self, trial: Trial) -> Trial:
        """Run one configuration; one that diverges is recorded as a failure."""
        from grmu_audit.unlearning.apply import apply_method

        method = self.choice.method
        config = typed_config(method.config, {**self.choice.settings, **trial.settings})
        runtime = self.session.runtime(self.choice.seed, f"trial {trial.number} {method.name}")
        trial = replace(trial, settings=config.model_dump(mode="json", exclude=set(method.unused_options)))
        start = time.perf_counter()
        try:
            loss, advantage = self.scorer.score(apply_method(method, self.network, self.data, config, runtime))
        except DivergedError as error:
            return replace(trial, failure=str(error), seconds=time.perf_counter() - start)
        return replace(trial, accuracy_loss=loss, advantage=advantage, seconds=time.perf_counter() - start)


def _record(session: Session, parent: ModelRef, tuning: str, choice: MethodChoice, trial: Trial) -> None:
    """A run of its own for the trial, under the tuning run."""
    with session.store.run(parent.name, "trial", parent=tuning, tags={TAG_TRIAL: trial.number}) as run:
        run.log_params({"method": choice.method.name, "reweight": choice.reweight, **trial.settings})
        numbers: Mapping[str, float] = {
            "lost": trial.accuracy_loss,
            "advantage": trial.advantage,
            "distance": trial.score,
            "seconds": trial.seconds,
        }
        run.log_metrics(numbers)
        if trial.failure:
            run.set_tags({TAG_FAILURE: trial.failure})


def tuned_facts(tuned: Tuned) -> dict[str, Any]:
    """The search in the version's record."""
    return {
        "trials": len(tuned.trials),
        "failed": sum(1 for trial in tuned.trials if trial.failure),
        "best_trial": tuned.best.number,
        "lost": tuned.best.accuracy_loss,
        "advantage": tuned.best.advantage,
        "score": SCORE,
        "oracle": False,
        "run": tuned.run_id,
    }
