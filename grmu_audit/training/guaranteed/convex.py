"""The strongly convex loss of a linear model with a random linear term, its minimum, and what a Newton step leaves.

Source: Guo et al. 2020, Certified Data Removal from Machine Learning Models (arXiv 1911.03030); the fairness term after
Oesterling et al. 2023, Fair Machine Unlearning (arXiv 2307.14754).  Both papers have one logit; here it is one for each class.
"""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import DivergedError, InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.guaranteed import LinearBody, LinearOptions
from grmu_audit.training.runtime import Runtime

Rows = npt.NDArray[np.int64]
CURVATURE_CHANGE = math.sqrt(2 / 27)
"""How fast the softmax Hessian changes: |S(z + u) - S(z)| <= sqrt(2/27) |u|.  The third derivative in direction u is the third
central moment of u under the class probabilities, at most range^3 / (6 sqrt(3)), and the range is at most sqrt(2) |u|; by
symmetry no other directions give more."""
MOST_WEIGHTS = 6000
"""Weights of the largest head that a Hessian is formed for (288 MB)."""
_STEPS, _HALVINGS, _PIECE = 60, 40, 4096
_RELATIVE = 1e-9


@dataclass(frozen=True)
class ConvexLoss:
    """L(W) = sum_i CE(W x_i, y_i) + n l2 / 2 |W|^2 + n fairness / 2 |C W D'|^2 + <B, W>.

    D has a row for each class and pair of groups: the difference between the groups' mean inputs; C takes the mean over classes
    out of the logits.  All of it but the cross-entropy is quadratic or linear in W.
    """

    x: torch.Tensor
    """[n, d] inputs of the head in float64, a 1 appended for the bias."""
    y: torch.Tensor
    """[n] classes."""
    options: LinearOptions
    """l2 and fairness."""
    classes: int
    """c."""
    differences: torch.Tensor
    """[k, d] D; no rows without the fairness term."""
    noise: torch.Tensor | None = None
    """[c, d] B; None leaves it out, as in differences of two losses, where it cancels."""

    def value(self, w: torch.Tensor) -> torch.Tensor:
        """Scalar loss at [c, d] weights."""
        n, centred = len(self.y), w - w.mean(0)
        loss = torch.nn.functional.cross_entropy(self.x @ w.T, self.y, reduction="sum")
        loss = loss + n * self.options.l2 / 2 * w.square().sum()
        loss = loss + n * self.options.fairness / 2 * (self.differences @ centred.T).square().sum()
        return loss if self.noise is None else loss + (self.noise * w).sum()

    def gradient(self, w: torch.Tensor) -> torch.Tensor:
        """[c, d] gradient at [c, d] weights."""
        n = len(self.y)
        p = torch.softmax(self.x @ w.T, 1)
        p[torch.arange(n), self.y] -= 1
        found = p.T @ self.x + n * self.options.l2 * w
        found += n * self.options.fairness * (w - w.mean(0)) @ self.differences.T @ self.differences
        return found if self.noise is None else found + self.noise

    def hessian(self, w: torch.Tensor) -> torch.Tensor:
        """[c d, c d] second derivatives at [c, d] weights; the same with and without the noise."""
        n, d, c = len(self.y), self.x.shape[1], self.classes
        p = torch.softmax(self.x @ w.T, 1)
        spread = n * self.options.fairness * self.differences.T @ self.differences
        found = torch.empty(c, d, c, d, dtype=torch.float64)
        for one in range(c):
            for other in range(one, c):
                weight = p[:, one] * (float(one == other) - p[:, other])
                block = self.x.T @ (weight[:, None] * self.x) + (float(one == other) - 1 / c) * spread
                found[one, :, other, :] = found[other, :, one, :] = block
        result = found.reshape(c * d, c * d)
        result.diagonal().add_(n * self.options.l2)
        return result

    def remainder(self, step: torch.Tensor) -> float:
        """Bound on |gradient(w + step) - gradient(w) - Hessian(w) step|, for any w: sqrt(2/27)/2 |X|_2 sqrt(sum_i |step x_i|^4).

        The l2, fairness and noise terms leave nothing.  It follows from the bound of the paper (its corollary 2), is never
        larger, and needs no bound on the lengths of the rows.

        Args:
            step: [c, d] change of the weights.
        """
        moved = (self.x @ step.T).square().sum(1)
        return float(CURVATURE_CHANGE / 2 * torch.linalg.matrix_norm(self.x, 2) * moved.square().sum().sqrt())


def convex_loss(model: Classifier, source: BatchSource, rows: Rows, noise: torch.Tensor | None = None) -> ConvexLoss:
    """The loss of a linear model on rows of a dataset, on the CPU.

    Raises:
        InputError: the model is no linear one, or its head is too large.
    """
    body = require_linear(model)
    pieces = []
    with torch.no_grad():
        for piece in torch.split(torch.from_numpy(np.asarray(rows, dtype=np.int64)), _PIECE):
            pieces.append(model.features(source.take(piece).pixels).double().cpu())
    width = model.head.in_features
    x = torch.cat([*pieces, torch.zeros(0, width, dtype=torch.float64)])
    x = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    y, group = source.target.cpu()[rows], source.group.cpu()[rows]
    differences = x.new_zeros(0, x.shape[1])
    if body.options.fairness:
        differences = group_differences(x, y, group % source.attributes)
    return ConvexLoss(x, y, body.options, model.spec.classes, differences, noise)


def require_linear(model: Classifier) -> LinearBody:
    """The body of a linear model whose Hessian can be formed.

    Raises:
        InputError: it is another network, or its head is too large.
    """
    if not isinstance(model.body, LinearBody):
        raise InputError(
            f"this network is a {model.spec.architecture}: only a linear model (--architecture linear), on a table or on frozen"
            " features, has a loss for which a removal can be certified"
        )
    size = model.spec.classes * (model.head.in_features + 1)
    if size > MOST_WEIGHTS:
        raise InputError(f"linear: {size:,} weights; training forms their Hessian, at most {MOST_WEIGHTS:,}: reduce the features")
    return model.body


def group_differences(x: torch.Tensor, y: torch.Tensor, attribute: torch.Tensor) -> torch.Tensor:
    """[k, d] mean input of one group minus that of another, for each class and each pair of groups with rows of it."""
    found = []
    for target in torch.unique(y):
        means = [x[(y == target) & (attribute == one)].mean(0) for one in torch.unique(attribute[y == target])]
        found += [means[i] - means[j] for i in range(len(means)) for j in range(i)]
    return torch.stack(found) if found else x.new_zeros(0, x.shape[1])


def perturbation(model: Classifier, seed: int, secret: str) -> torch.Tensor:
    """[c, d + 1] the random term B of a training: normal with the deviation ``noise``, the same for the same seed and secret."""
    digest = hmac.digest(secret.encode(), f"perturbation\x1f{seed}".encode(), "sha256")
    shape = model.spec.classes, model.head.in_features + 1
    return require_linear(model).options.noise * torch.from_numpy(secret_generator(digest).standard_normal(shape))


def secret_generator(digest: bytes) -> np.random.Generator:
    """A generator that depends on all 256 bits of a digest; torch's on the CPU takes 32 bits of a seed, which can be tried."""
    words = np.frombuffer(digest, dtype=">u4").tolist()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words, pool_size=len(words))))


def weights_of(model: Classifier) -> torch.Tensor:
    """[c, d + 1] weights and biases in float64, on the CPU."""
    return torch.cat([model.head.weight, model.head.bias[:, None]], 1).detach().double().cpu()


def write_weights(model: Classifier, w: torch.Tensor) -> torch.Tensor:
    """Put weights into the head, in its precision; returns them as they are stored."""
    with torch.no_grad():
        model.head.weight.copy_(w[:, :-1])
        model.head.bias.copy_(w[:, -1])
    return weights_of(model)


def minimise(loss: ConvexLoss, start: torch.Tensor) -> torch.Tensor:
    """The minimum by Newton steps with halving, in float64.

    Raises:
        DivergedError: it is not reached in the allowed number of steps.
    """
    w, first = start, max(1.0, float(loss.gradient(torch.zeros_like(start)).norm()))
    for _ in range(_STEPS):
        slope = loss.gradient(w)
        if float(slope.norm()) <= _RELATIVE * first:
            return w
        step = newton_step(loss, w, -slope)
        scale, here, descent = 1.0, float(loss.value(w)), float((slope * step).sum())
        for _ in range(_HALVINGS):
            if float(loss.value(w + scale * step)) <= here + 1e-4 * scale * descent + 1e-12 * abs(here):
                break
            scale /= 2
        w = w + scale * step
    raise DivergedError(f"the convex loss was not minimised in {_STEPS} Newton steps; nothing was registered: raise l2")


def newton_step(loss: ConvexLoss, w: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """[c, d] solution of Hessian(w) step = right.

    Raises:
        DivergedError: the Hessian is not positive definite to working precision.
    """
    factor, defect = torch.linalg.cholesky_ex(loss.hessian(w))
    if int(defect):
        raise DivergedError("the Hessian of the convex loss is not positive definite; nothing was registered: raise l2")
    return torch.cholesky_solve(right.reshape(-1, 1), factor).reshape(w.shape)


def fit_convex(model: Classifier, source: BatchSource, rows: Rows, runtime: Runtime) -> Classifier:
    """Minimise the convex loss on the rows, in place; the norm of its gradient at the stored weights goes with them.

    Options of training have no effect.  The random term follows from the runtime's seed and secret.

    Raises:
        InputError: the head is too large, or there are several processes.
        DivergedError: the minimum is not reached.
    """
    if runtime.world.size > 1:
        raise InputError("linear: the loss is minimised over all rows at once, so that it runs on one process only")
    body = require_linear(model)
    loss = convex_loss(model, source, rows, perturbation(model, runtime.seed, runtime.secret))
    stored = write_weights(model, minimise(loss, torch.zeros(model.spec.classes, loss.x.shape[1], dtype=torch.float64)))
    residual = float(loss.gradient(stored).norm())
    body.residual.fill_(residual)
    runtime.sample_gradients += len(rows)
    runtime.notes["convex"] = {"gradient_norm": residual, "noise": body.options.noise, "l2": body.options.l2}
    runtime.log(0, {"loss_train": float(loss.value(stored)) / len(rows), "gradient_norm": residual})
    return model.eval()
