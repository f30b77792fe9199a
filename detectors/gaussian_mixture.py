"""Mixtures of Gaussians with diagonal covariances, fitted by expectation maximisation.

A. Dempster, N. Laird and D. Rubin, "Maximum likelihood from incomplete data via the EM algorithm", JRSS B
39(1), 1977. Computed in float64, in parts, so that memory stays flat.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHUNK = 8192


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMixture:
    """A mixture of k Gaussians in d dimensions.

    Attributes:
        weights: shape (k,), sum 1.
        means: shape (k, d).
        variances: shape (k, d).
    """

    weights: Tensor
    means: Tensor
    variances: Tensor

    def log_likelihood(self, frames: Tensor) -> Tensor:
        """Natural logarithm of the density at each frame; (n, d) in, (n,) float64 out."""
        return torch.cat([self._joint(part).logsumexp(dim=1) for part in frames.split(CHUNK)])

    def improved(self, frames: Tensor, variance_floor: Tensor) -> tuple["GaussianMixture", float]:
        """One step of expectation maximisation.

        Args:
            frames: shape (n, d).
            variance_floor: smallest variance of each dimension, shape (d,).

        Returns:
            The next mixture, and the mean log-likelihood of the frames under *this* one.
        """
        count = torch.zeros_like(self.weights)
        total, squares = torch.zeros_like(self.means), torch.zeros_like(self.means)
        likelihood = 0.0
        for part in frames.split(CHUNK):
            joint = self._joint(part)
            evidence = joint.logsumexp(dim=1)
            likelihood += float(evidence.sum())
            share = (joint - evidence[:, None]).exp()
            count += share.sum(dim=0)
            total += share.T @ part.double()
            squares += share.T @ part.double().square()
        # A component that no frame belongs to keeps its place.
        empty = count < 1e-8
        safe = count.clamp_min(1e-8)[:, None]
        means = torch.where(empty[:, None], self.means, total / safe)
        variances = (squares / safe - means.square()).maximum(variance_floor)
        variances = torch.where(empty[:, None], self.variances, variances)
        weights = count.clamp_min(1e-8) / count.clamp_min(1e-8).sum()
        return GaussianMixture(weights, means, variances), likelihood / len(frames)

    def _joint(self, frames: Tensor) -> Tensor:
        """Logarithm of weight times density, shape (n, k)."""
        x = frames.double()
        precision = 1 / self.variances
        distance = (
            x.square() @ precision.T
            - 2 * x @ (self.means * precision).T
            + (self.means.square() * precision).sum(dim=1)
        )
        constant = self.variances.log().sum(dim=1) + self.means.shape[1] * math.log(2 * math.pi)
        return self.weights.log() - 0.5 * (distance + constant)


def fit_mixture(
    frames: Tensor,
    components: int,
    *,
    iterations: int,
    seed: int,
    centre_iterations: int = 5,
    relative_floor: float = 1e-3,
) -> tuple[GaussianMixture, list[float]]:
    """Fit a mixture, beginning with the centres that k-means finds from frames drawn at random.

    Args:
        frames: shape (n, d), n at least ``components``.
        components: Gaussians.
        iterations: steps of expectation maximisation.
        seed: of the draw.
        centre_iterations: steps of k-means, on at most 100 frames a component.
        relative_floor: smallest variance, as a share of the variance of all frames.

    Returns:
        The mixture, and the mean log-likelihood before each step, which never falls but for the floor.
    """
    generator = np.random.default_rng(seed)
    sample = frames[torch.from_numpy(generator.permutation(len(frames))[: 100 * components])].double()
    spread = sum((part.double() - sample.mean(dim=0)).square().sum(dim=0) for part in frames.split(CHUNK))
    variance = torch.as_tensor(spread) / len(frames)
    # A dimension that never changes must not make the density infinite.
    floor = (relative_floor * variance).clamp_min(1e-10)
    means = sample[:components].clone()
    for _ in range(centre_iterations):
        nearest = torch.cat([_nearest(part, means, floor) for part in sample.split(CHUNK)])
        count = torch.bincount(nearest, minlength=components)[:, None]
        total = torch.zeros_like(means).index_add_(0, nearest, sample)
        means = torch.where(count > 0, total / count.clamp_min(1), means)
    weights = torch.full((components,), 1 / components, dtype=torch.float64)
    mixture = GaussianMixture(weights, means, variance.maximum(floor).expand(components, -1).clone())
    likelihoods = []
    for _ in range(iterations):
        mixture, likelihood = mixture.improved(frames, floor)
        likelihoods.append(likelihood)
    return mixture, likelihoods


def _nearest(frames: Tensor, means: Tensor, floor: Tensor) -> Tensor:
    """The nearest of the means, with every dimension in units of its spread."""
    scale = floor.sqrt()
    return torch.cdist(frames / scale, means / scale).argmin(dim=1)
