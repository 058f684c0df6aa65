"""MIU: make the features of forget samples uninformative about their group, and keep the retain set calibrated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.inference import infer
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.training.steps import microbatches
from grmu_audit.unlearning.blocks.information import ClassifierTrainer, Estimator, GroupClassifier, Mine, MineTrainer
from grmu_audit.unlearning.blocks.teacher import OriginalFeatures
from grmu_audit.unlearning.data import Rows, UnlearningData
from grmu_audit.unlearning.method import LogRange, Method, MethodConfig, register


class MiuConfig(MethodConfig):
    """The three terms, each switchable, and the information estimator."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Epochs of unlearning."""
    forget_epochs: int = Field(5, ge=0)
    """In how many of the first epochs the unlearning term acts."""
    lambda_mi: float = Field(0.1, ge=0, allow_inf_nan=False)
    """Weight of the calibration term; at 1 runs lost accuracy on all groups (docs/miu.md)."""
    retaining_term: bool = True
    """Cross-entropy on the retain set."""
    unlearning_term: bool = True
    """Mutual information of forget features and group, minimised."""
    calibration_term: bool = True
    """Squared difference of the retain set's mutual information to the original model's."""
    estimator: Literal["classifier", "mine"] = "classifier"
    """How information is estimated: by a classifier of the group, fitted until it stops improving, or by MINE, as published."""
    estimator_learning_rate: float = Field(0.001, gt=0, allow_inf_nan=False)
    """Learning rate of both estimators (Adam for the classifier, SGD for MINE)."""
    estimator_steps_first: int = Field(2000, ge=1)
    """Batches that an estimator is fitted with at the start; the classifier stops earlier where it does not improve."""
    estimator_steps: int = Field(500, ge=0)
    """Batches that the estimator of the current model is re-fitted with before each epoch; the classifier may stop earlier."""
    clip: float = Field(0.5, ge=0, allow_inf_nan=False)
    """Largest norm of the unlearning term's gradient; 0: that of a retain batch's cross-entropy gradient, as published."""


def miu(model: Classifier, data: UnlearningData, config: MiuConfig, runtime: Runtime) -> Classifier:
    """Mutual-information-aware unlearning, in its corrected form.

    Each epoch e: re-fit phi_u on eval-mode features of the current model; if e < forget_epochs, minimise
    max(I_phi_u(z; g), 0) over D_f with its gradient clipped to ``clip``; then minimise
    CE + lambda (max(I_phi_u(z; g), 0) - max(I_phi_o(z_0; g), 0))^2 over D_r, sampled by REWEIGHT where it is on; below 0, where
    information cannot be, a bound says that its estimator is behind, and its square may be of any size.  z_0 are the original
    model's features (eval mode; of the augmented inputs where these are augmented, else computed once), phi_o is fitted on them
    once.

    As published the gradient is clipped to the norm of the retain cross-entropy's gradient (``clip`` 0), which is nearly 0 for a
    model that fits its data: the term then hardly acts, or, once it has done damage, without a limit.

    Noted: the estimates (nats) on retain and forget set before each epoch, and in how many steps on the forget set the term
    had no gradient, since its estimate was not above 0.
    """
    info = _Information(model, data, config, runtime)

    def plan(epoch: int) -> list[Phase]:
        """Unlearning pass, then retaining pass."""
        phases = []
        if config.unlearning_term and epoch < config.forget_epochs:
            generator = runtime.generator("forget", epoch)
            phases.append(
                Phase(
                    "forget",
                    lambda: info.refitted(
                        "forget", epoch, data.forget_batches(config.batch_size, generator, augment=config.augment)
                    ),
                    info.unlearning_loss,
                    data.forget_steps(config.batch_size),
                    info.clip_gradient,
                )
            )
        if config.retaining_term or config.calibration_term:
            order = runtime.generator("retain", epoch)
            phases.append(
                Phase(
                    "retain",
                    lambda: info.refitted("retain", epoch, data.retain_batches(config.batch_size, order, augment=config.augment)),
                    info.retaining_loss,
                    data.retain_steps(config.batch_size),
                )
            )
        return phases

    hooks = Hooks(validate=data.validator(runtime), state=info.phi_u, after_epoch=info.note)
    return run_epochs(model, plan, config, runtime, hooks)


class _Information:
    """The two estimators, the original features, and the losses computed from them."""

    def __init__(self, model: Classifier, data: UnlearningData, config: MiuConfig, runtime: Runtime) -> None:
        self.model, self.data, self.config, self.runtime = model, data, config, runtime
        self.train: Rows = np.concatenate([data.retain, data.forget])
        self.group = data.source.group
        self.original = OriginalFeatures(model, data, self.train, config, runtime)
        features = infer(model, data.source, self.train, runtime, features=True)
        center, scale = features.mean(0), features.std(0) + 1e-3
        counts = torch.bincount(self._groups(self.train), minlength=data.source.groups)
        self.shares = counts.double().cpu()
        self.draws = runtime.generator("marginal")
        self.phi_o, self.phi_u = (self._estimator(name, center, scale) for name in ("phi_o", "phi_u"))
        for name, estimator in (("phi_o", self.phi_o), ("phi_u", self.phi_u)):
            self._fit(estimator, features, self.train, config.estimator_steps_first, name)
        self.fitted_epoch = 0
        self.retain_norm: torch.Tensor | None = None
        self.steps_of_epoch: list[torch.Tensor] = []
        runtime.notes["information"] = {"retain": [], "forget": [], "forget_steps": 0, "without_gradient": 0}
        self._estimate(features, self.train)

    def _groups(self, rows: Rows) -> torch.Tensor:
        return self.group[torch.from_numpy(rows).to(self.group.device)]

    def _estimator(self, name: str, center: torch.Tensor, scale: torch.Tensor) -> Estimator:
        generator, rate = self.runtime.generator(name, "init"), self.config.estimator_learning_rate
        if self.config.estimator == "classifier":
            network = GroupClassifier(len(center), self.shares, center, scale, generator)
            return ClassifierTrainer(network.to(self.data.source.device), rate)
        mine = Mine(len(center), self.data.source.groups, center, scale, generator)
        return MineTrainer(mine.to(self.data.source.device), rate)

    def _fit(self, estimator: Estimator, features: torch.Tensor, rows: Rows, steps: int, *names: object) -> None:
        size = max(64, self.config.batch_size)
        estimator.fit(features, self._groups(rows), steps, size, self.runtime.generator("mine", *names))

    @torch.no_grad()
    def _estimate(self, features: torch.Tensor, rows: Rows) -> None:
        """Note what the estimator of the current model reads on the features of these training rows."""
        forget = torch.from_numpy(np.isin(rows, self.data.forget)).to(features.device)
        for name, part in (("retain", ~forget), ("forget", forget)):
            groups = self._groups(rows)[part]
            shuffled = groups[torch.randperm(len(groups), generator=self.runtime.generator("estimate", name)).to(groups.device)]
            self._noted[name].append(round(float(self.phi_u.information(features[part], groups, shuffled)), 4))

    @property
    def _noted(self) -> dict[str, Any]:
        """Looked up each time, since a resumed run brings its own."""
        found: dict[str, Any] = self.runtime.notes["information"]
        return found

    def note(self, epoch: int) -> None:
        """Note the steps on the forget set of an epoch, and say at the end where the term hardly acted."""
        found = self._noted
        found["forget_steps"] += len(self.steps_of_epoch)
        found["without_gradient"] += int(torch.stack(self.steps_of_epoch).sum()) if self.steps_of_epoch else 0
        self.steps_of_epoch = []
        if epoch + 1 == self.config.epochs and 2 * found["without_gradient"] > found["forget_steps"]:
            self.runtime.observer.note(
                f"miu: in {found['without_gradient']} of {found['forget_steps']} steps on the forget set the unlearning term "
                "had no gradient, since the estimated information was not above 0: it hardly acted"
            )

    def refitted(self, phase: str, epoch: int, batches: Iterable[Batch]) -> Iterable[Batch]:
        """The batches, after phi_u was re-fitted once in this epoch."""
        if epoch != self.fitted_epoch and self.config.estimator_steps:
            self.fitted_epoch = epoch
            rows = self._sample_rows(epoch)
            features = infer(self.model, self.data.source, rows, self.runtime, features=True)
            self._fit(self.phi_u, features, rows, self.config.estimator_steps, epoch)
            self._estimate(features, rows)
        self.retain_norm = None
        self.draws = self.runtime.generator("marginal", phase, epoch)
        self.model.train()
        return batches

    def _sample_rows(self, epoch: int) -> Rows:
        """As many training rows as the re-fit can use."""
        wanted = min(len(self.train), self.config.estimator_steps * max(64, self.config.batch_size))
        order = torch.randperm(len(self.train), generator=self.runtime.generator("mine rows", epoch))
        rows: Rows = self.train[order[:wanted].numpy()]
        return rows

    def unlearning_loss(self, batch: Batch) -> torch.Tensor:
        """max(I(z; g), 0) of forget samples, g' from the training shares; running statistics are frozen."""
        z = self.model.eval().features(batch.pixels).float()
        marginal = torch.multinomial(self.shares, len(z), replacement=True, generator=self.draws).to(z.device)
        found = self.phi_u.information(z, batch.group, marginal)
        self.steps_of_epoch.append(found.detach() <= 0)
        return found.clamp_min(0.0)

    def retaining_loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy and calibration on retain samples."""
        z = self.model.features(batch.pixels)
        loss = z.new_zeros(())
        if self.config.retaining_term:
            loss = loss + functional.cross_entropy(self.model.head(z), batch.target)
        if self.config.calibration_term and len(z) > 1:
            order = torch.randperm(len(z), generator=self.draws).to(z.device)
            marginal = batch.group[order]
            with torch.no_grad():
                target = self.phi_o.information(self.original(batch), batch.group, marginal)
            now = self.phi_u.information(z.float(), batch.group, marginal).clamp_min(0.0)
            loss = loss + self.config.lambda_mi * (now - target.clamp_min(0.0)).square()
        return loss

    def clip_gradient(self, batch: Batch) -> None:
        """Scale the unlearning gradient down to ``clip``, or to the norm of a retain batch's, without reading either."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if not gradients:  # where only the head may move, the features have none
            return
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        else:
            self.retain_norm = self._retain_gradient_norm() if self.retain_norm is None else self.retain_norm
            factor = (torch.nn.utils.get_total_norm(gradients) + 1e-6).reciprocal() * self.retain_norm
            torch._foreach_mul_(gradients, factor.clamp(max=1.0))

    def _retain_gradient_norm(self) -> torch.Tensor:
        generator = self.runtime.generator("clip", self.fitted_epoch)
        batch = next(iter(self.data.retain_batches(self.config.batch_size, generator, augment=self.config.augment)))
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        gradients = [torch.zeros_like(p) for p in parameters]
        for piece in microbatches(batch, self.runtime.micro_batch):
            with self.runtime.autocast():
                loss = functional.cross_entropy(self.model(piece.pixels), piece.target) * (len(piece.rows) / len(batch.rows))
            for total, gradient in zip(gradients, torch.autograd.grad(loss, parameters, materialize_grads=True), strict=True):
                total += gradient
        self.runtime.sample_gradients += len(batch.rows)
        norm: torch.Tensor = torch.stack([g.norm() for g in gradients]).norm()
        return norm


register(
    Method(
        name="miu",
        title="mutual-information unlearning with calibration, for group-robust requests",
        run=miu,
        config=MiuConfig,
        needs=frozenset({"retain", "forget"}),
        reference="De Min et al., Group-robust Machine Unlearning (MIU)",
        cost="E R + E_f F, E_f = forget_epochs",
        reweight_default=True,
        search={"lambda_mi": LogRange(0.01, 1.0), "forget_epochs": (2, 5, 8)},
    )
)
