"""Losses, as means over the samples of a step; labels that a case does not assess cost nothing.

How a target says so (`renalct.models.samples.targets_of` writes it): in 0/1 channels a voxel of -1 is ignored. Among
class indices a value below 0 is minus a set of bits: the voxel is background or any of the outputs whose bit is set
(the marginal loss of Shi et al., Medical Image Analysis 2021).
"""

from __future__ import annotations

import torch
from torch import nn

from renalct.models.parallel import ALONE, Team
from renalct.models.recipe import Activation, Stage
from renalct.models.training_settings import DiceOver, Loss

_SMOOTH = 1e-5
_NEVER = -1e4  # a logit that stays finite in every precision used here after the loss is taken in float32


def loss_of(
    output: torch.Tensor,
    targets: torch.Tensor,
    stage: Stage,
    *,
    class_weights: torch.Tensor | None = None,
    team: Team = ALONE,
) -> torch.Tensor:
    """The stage's loss; heads of deep supervision (n, heads, channels, ...) weigh half as much per level.

    Each process of a team gives a loss whose mean over the team is the loss of all samples together.
    """
    if stage.classes:
        return _class_loss(output, targets, stage.training.label_smoothing, class_weights)
    spatial = targets.ndim - (2 if stage.activation is Activation.SIGMOID else 1)
    if output.ndim == spatial + 3:
        weights = [0.5**head for head in range(output.shape[1])]
        losses = [w * loss_of(output[:, head], targets, stage, team=team) for head, w in enumerate(weights)]
        return torch.stack(losses).sum() / sum(weights)
    if stage.activation is Activation.SIGMOID:
        return _sigmoid_loss(output, targets, stage, team)
    return _softmax_loss(output, targets, stage, team)


def _class_loss(
    output: torch.Tensor, targets: torch.Tensor, smoothing: float, weights: torch.Tensor | None
) -> torch.Tensor:
    each = nn.functional.cross_entropy(output, targets, reduction="none", label_smoothing=smoothing)
    return each.mean() if weights is None else (each * weights.to(each)[targets]).mean()


def _sigmoid_loss(output: torch.Tensor, targets: torch.Tensor, stage: Stage, team: Team) -> torch.Tensor:
    known = targets >= 0
    truth = targets.clamp(min=0)
    each = nn.functional.binary_cross_entropy_with_logits(output, truth, reduction="none")
    binary = (each * known).sum() / (team.total(known.sum()) / team.size).clamp(min=1)
    if stage.training.loss is Loss.BINARY_CROSS_ENTROPY:
        return binary
    return binary + soft_dice_loss(output.sigmoid() * known, truth, stage.training.dice_over, team=team)


def _softmax_loss(output: torch.Tensor, targets: torch.Tensor, stage: Stage, team: Team) -> torch.Tensor:
    partial = bool((targets < 0).any())
    if partial:
        output, targets = _merged(output, targets)
    smoothing = 0.0 if partial else stage.training.label_smoothing  # nothing is smoothed over outputs that are no more
    cross_entropy = nn.functional.cross_entropy(output, targets, label_smoothing=smoothing)
    if stage.training.loss is Loss.CROSS_ENTROPY:
        return cross_entropy
    truth = nn.functional.one_hot(targets, output.shape[1]).movedim(-1, 1).to(output)
    probabilities = output.softmax(1)
    return cross_entropy + soft_dice_loss(probabilities[:, 1:], truth[:, 1:], stage.training.dice_over, team=team)


def _merged(output: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets of samples with classes that were not assessed: those classes are one with the background."""
    bits = (-targets.flatten(1).amin(1)).clamp(min=0)
    channels = torch.arange(output.shape[1], device=output.device)
    unknown = (bits[:, None] >> channels) & 1 == 1
    unknown = unknown.view(*unknown.shape, *[1] * (output.ndim - 2))
    joined = unknown.clone()
    joined[:, 0] = True
    background = torch.where(joined, output, -torch.inf).logsumexp(1, keepdim=True)
    rest = torch.where(unknown, _NEVER, output)[:, 1:]
    return torch.cat([background, rest], dim=1), targets.clamp(min=0)


def soft_dice_loss(
    probabilities: torch.Tensor, truth: torch.Tensor, over: DiceOver, *, team: Team = ALONE
) -> torch.Tensor:
    """1 - mean soft Dice of the channels (n, channels, ...), over each sample, or over all samples of the team.

    A channel that is empty in both has a Dice of 1.
    """
    axes = list(range(2, truth.ndim))
    both = 2 * (probabilities * truth).sum(axes)
    sizes = probabilities.sum(axes) + truth.sum(axes)
    if over is DiceOver.BATCH:
        both, sizes = team.total(both.sum(0)), team.total(sizes.sum(0))
    return (1 - (both + _SMOOTH) / (sizes + _SMOOTH)).mean()
