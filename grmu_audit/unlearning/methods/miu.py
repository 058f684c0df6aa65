"""MIU: make the features of forget samples uninformative about their group, and keep the retain set calibrated."""

from __future__ import annotations

from collections.abc import Iterable

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
from grmu_audit.unlearning.blocks.mine import Mine, MineTrainer
from grmu_audit.unlearning.data import Rows, UnlearningData
from grmu_audit.unlearning.method import LogRange, Method, MethodConfig, register


class MiuConfig(MethodConfig):
    """The three terms, each switchable, and the information estimator."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Epochs of unlearning."""
    forget_epochs: int = Field(5, ge=0)
    """In how many of the first epochs the unlearning term acts."""
    lambda_mi: float = Field(1.0, ge=0, allow_inf_nan=False)
    """Weight of the calibration term."""
    retaining_term: bool = True
    """Cross-entropy on the retain set."""
    unlearning_term: bool = True
    """Mutual information of forget features and group, minimised."""
    calibration_term: bool = True
    """Squared difference of the retain set's mutual information to the original model's."""
    mine_learning_rate: float = Field(0.01, gt=0)
    """Learning rate of both information estimators."""
    mine_steps_first: int = Field(100, ge=1)
    """Batches that an estimator is fitted with at the start."""
    mine_steps: int = Field(10, ge=0)
    """Batches that the estimator of the current model is re-fitted with before each epoch."""


def miu(model: Classifier, data: UnlearningData, config: MiuConfig, runtime: Runtime) -> Classifier:
    """Mutual-information-aware unlearning, in its corrected form.

    Each epoch e: re-fit phi_u on eval-mode features of the current model; if e < forget_epochs, minimise
    max(I_phi_u(z; g), 0) over D_f with its gradient clipped to the norm of the retain cross-entropy's gradient; then
    minimise CE + lambda (I_phi_u(z; g) - I_phi_o(z_0; g))^2 over D_r, sampled by REWEIGHT where it is on.  z_0 are the
    original model's features (eval mode, computed once), phi_o is fitted on them once.  For the forget pass g' comes
    from the training set's group shares, since a forget batch of one group has nothing to permute.
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
                    info.clip_to_retain,
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

    return run_epochs(model, plan, config, runtime, Hooks(validate=data.validator(runtime), state=info.phi_u))


class _Information:
    """The two estimators, the cached original features, and the losses computed from them."""

    def __init__(self, model: Classifier, data: UnlearningData, config: MiuConfig, runtime: Runtime) -> None:
        self.model, self.data, self.config, self.runtime = model, data, config, runtime
        self.train: Rows = np.concatenate([data.retain, data.forget])
        self.group = data.source.group
        self.original = torch.zeros(0)
        features = infer(model, data.source, self.train, runtime, features=True)
        self.original = features.new_zeros(len(data.source.target), features.shape[1])
        self.original[torch.from_numpy(self.train).to(features.device)] = features
        center, scale = features.mean(0), features.std(0) + 1e-3
        counts = torch.bincount(self.group[torch.from_numpy(self.train).to(self.group.device)], minlength=data.source.groups)
        self.shares = counts.double().cpu()
        self.draws = runtime.generator("marginal")
        self.phi_o = self._estimator("phi_o", features.shape[1], center, scale)
        self.phi_u = self._estimator("phi_u", features.shape[1], center, scale)
        self._fit(self.phi_o, features, config.mine_steps_first, "phi_o")
        self._fit(self.phi_u, features, config.mine_steps_first, "phi_u")
        self.fitted_epoch = 0
        self.retain_norm: torch.Tensor | None = None

    def _estimator(self, name: str, width: int, center: torch.Tensor, scale: torch.Tensor) -> MineTrainer:
        mine = Mine(width, self.data.source.groups, center, scale, self.runtime.generator(name, "init"))
        return MineTrainer(mine.to(self.data.source.device), self.config.mine_learning_rate)

    def _fit(self, trainer: MineTrainer, features: torch.Tensor, steps: int, *names: object) -> None:
        groups = self.group[torch.from_numpy(self.train).to(self.group.device)]
        trainer.fit(features, groups, steps, max(64, self.config.batch_size), self.runtime.generator("mine", *names))

    def refitted(self, phase: str, epoch: int, batches: Iterable[Batch]) -> Iterable[Batch]:
        """The batches, after phi_u was re-fitted once in this epoch."""
        if epoch != self.fitted_epoch and self.config.mine_steps:
            self.fitted_epoch = epoch
            rows = self._sample_rows(epoch)
            features = infer(self.model, self.data.source, rows, self.runtime, features=True)
            groups = self.group[torch.from_numpy(rows).to(self.group.device)]
            generator = self.runtime.generator("mine", epoch)
            self.phi_u.fit(features, groups, self.config.mine_steps, max(64, self.config.batch_size), generator)
        self.retain_norm = None
        self.draws = self.runtime.generator("marginal", phase, epoch)
        self.model.train()
        return batches

    def _sample_rows(self, epoch: int) -> Rows:
        """As many training rows as the re-fit can use."""
        wanted = min(len(self.train), self.config.mine_steps * max(64, self.config.batch_size))
        order = torch.randperm(len(self.train), generator=self.runtime.generator("mine rows", epoch))
        rows: Rows = self.train[order[:wanted].numpy()]
        return rows

    def unlearning_loss(self, batch: Batch) -> torch.Tensor:
        """max(I(z; g), 0) of forget samples, g' from the training shares; running statistics are frozen."""
        z = self.model.eval().features(batch.pixels).float()
        marginal = torch.multinomial(self.shares, len(z), replacement=True, generator=self.draws).to(z.device)
        return self.phi_u.mine.information(z, batch.group, marginal).clamp_min(0.0)

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
                target = self.phi_o.mine.information(self.original[batch.rows], batch.group, marginal)
            now = self.phi_u.mine.information(z.float(), batch.group, marginal)
            loss = loss + self.config.lambda_mi * (now - target).square()
        return loss

    def clip_to_retain(self, batch: Batch) -> None:
        """Scale the unlearning gradient down to the norm of a retain batch's cross-entropy gradient, without reading either."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if self.retain_norm is None:
            self.retain_norm = self._retain_gradient_norm()
        if gradients:  # where only the head may move, the features have none
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
            for total, gradient in zip(gradients, torch.autograd.grad(loss, parameters), strict=True):
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
        cost="E R + E_f (F + b), E_f = forget_epochs, b = batch size",
        reweight_default=True,
        search={"lambda_mi": LogRange(0.1, 10.0), "forget_epochs": (2, 5, 8)},
    )
)
