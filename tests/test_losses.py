"""Losses: what is right costs nothing, what nobody looked for costs nothing, and parts add up to the whole."""

from dataclasses import replace

import pytest
import torch
from bright_kidney import STAGE
from monai.losses.dice import DiceCELoss, DiceLoss
from renalct.models.losses import loss_of, soft_dice_loss
from renalct.models.recipe import Activation, Target
from renalct.models.recipes import recipe_named
from renalct.models.training_settings import DiceOver, Loss

SIGMOID = replace(STAGE, activation=Activation.SIGMOID)
CLASSES = replace(recipe_named("zhao2023").classify, training=replace(STAGE.training, loss=Loss.CROSS_ENTROPY))


def three_classes(dice_over=DiceOver.BATCH):
    training = replace(STAGE.training, dice_over=dice_over)
    return replace(STAGE, targets=(Target.KIDNEY, Target.TUMOR, Target.CYST), training=training)


def test_heads_of_deep_supervision_weigh_half_as_much_per_level():
    targets = torch.randint(0, 2, (2, 4, 4, 4))
    heads = torch.randn(2, 3, 2, 4, 4, 4)
    each = [loss_of(heads[:, n], targets, STAGE) for n in range(3)]
    assert loss_of(heads, targets, STAGE) == pytest.approx(float(each[0] + each[1] / 2 + each[2] / 4) / 1.75, rel=1e-5)


def test_a_right_answer_costs_nothing_whatever_the_loss():
    targets = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    targets[:, :2] = 1
    softmax = torch.stack([20.0 * (targets == 0), 20.0 * (targets == 1)], dim=1)
    assert loss_of(softmax, targets, STAGE) == pytest.approx(0.0, abs=1e-3)
    logits = 40.0 * (targets[:, None] - 0.5)
    for kind in (Loss.BINARY_CROSS_ENTROPY, Loss.DICE_AND_CROSS_ENTROPY):
        stage = replace(SIGMOID, training=replace(STAGE.training, loss=kind))
        assert loss_of(logits, targets[:, None].float(), stage) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("over", list(DiceOver))
def test_dice_and_cross_entropy_are_those_of_monai(over):
    output, targets = torch.randn(3, 4, 6, 5, 4), torch.randint(0, 4, (3, 6, 5, 4))
    batch = over is DiceOver.BATCH
    peer = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=batch)
    assert float(loss_of(output, targets, three_classes(over))) == pytest.approx(
        float(peer(output, targets[:, None])), rel=1e-4
    )
    truth = torch.randint(0, 2, (3, 2, 6, 5, 4)).float()
    channels = torch.randn(3, 2, 6, 5, 4)
    peer_dice = float(DiceLoss(sigmoid=True, batch=batch)(channels, truth))
    assert float(soft_dice_loss(channels.sigmoid(), truth, over)) == pytest.approx(peer_dice, rel=1e-4)


def test_a_dice_over_samples_is_the_mean_of_its_parts_and_one_over_the_batch_is_not():
    output, targets = torch.randn(4, 4, 6, 5, 4), torch.randint(0, 4, (4, 6, 5, 4))
    targets[2:] = 0
    for over, equal in ((DiceOver.SAMPLE, True), (DiceOver.BATCH, False)):
        stage = three_classes(over)
        parts = (loss_of(output[:2], targets[:2], stage) + loss_of(output[2:], targets[2:], stage)) / 2
        assert (abs(float(loss_of(output, targets, stage) - parts)) < 1e-6) is equal


def test_a_class_that_a_case_does_not_assess_is_ignored_in_channels():
    """Its channel is -1: neither its logits nor a change of them matter, and the mean is over the known voxels."""
    truth = torch.randint(0, 2, (2, 2, 4, 4, 4)).float()
    logits = torch.randn(2, 2, 4, 4, 4)
    partial = truth.clone()
    partial[0, 1] = -1
    for kind in (Loss.BINARY_CROSS_ENTROPY, Loss.DICE_AND_CROSS_ENTROPY):
        stage = replace(SIGMOID, targets=(Target.KIDNEY, Target.CYST), training=replace(STAGE.training, loss=kind))
        changed = logits.clone().requires_grad_()
        with torch.no_grad():
            changed[0, 1] += 7
        loss = loss_of(changed, partial, stage)
        assert loss.item() == pytest.approx(float(loss_of(logits, partial, stage)), rel=1e-6)
        loss.backward()
        assert not changed.grad[0, 1].any() and changed.grad[1, 1].any()
    known = [logits[0, 0], logits[1, 0], logits[1, 1]], [truth[0, 0], truth[1, 0], truth[1, 1]]
    by_hand = torch.nn.functional.binary_cross_entropy_with_logits(*map(torch.stack, known))
    stage = replace(stage, training=replace(stage.training, loss=Loss.BINARY_CROSS_ENTROPY))
    assert float(loss_of(logits, partial, stage)) == pytest.approx(float(by_hand), rel=1e-5)


def test_a_class_that_a_case_does_not_assess_counts_as_background_among_exclusive_classes():
    """Cysts (index 3, bit 8) were not looked for: where the reader drew nothing, a cyst is as good as background."""
    stage = three_classes()
    targets = torch.zeros(1, 4, 4, 4, dtype=torch.long) - 8
    targets[:, :1] = 1
    right = torch.zeros(1, 4, 4, 4, 4)
    right[:, 1, :1] = 30.0
    right[:, 3, 1:] = 30.0  # says cyst where nothing was drawn
    assert float(loss_of(right, targets, stage)) == pytest.approx(0.0, abs=1e-3)
    wrong = right.clone()
    wrong[:, 2, 1:] = 60.0  # says tumor there, which the reader did look for
    assert float(loss_of(wrong, targets, stage)) > 1.0
    assert float(loss_of(right, targets.clamp(min=0), stage)) > 1.0  # had the reader looked for cysts


def test_a_case_with_every_class_is_not_changed_by_one_beside_it_without():
    stage = three_classes(DiceOver.SAMPLE)
    output, targets = torch.randn(2, 4, 4, 4, 4), torch.randint(0, 4, (2, 4, 4, 4))
    partial = targets.clone()
    partial[1][targets[1] == 3] = -8
    partial[1][targets[1] == 0] = -8
    whole = loss_of(output, partial, stage)
    alone = [loss_of(output[n : n + 1], partial[n : n + 1], stage) for n in range(2)]
    assert float(whole) == pytest.approx(float(sum(alone)) / 2, rel=1e-5)


def test_class_weights_multiply_the_loss_of_their_masses():
    output, targets = torch.randn(3, 3), torch.tensor([0, 1, 2])
    each = torch.nn.functional.cross_entropy(output, targets, reduction="none")
    weights = torch.tensor([3.0, 1.0, 0.5])
    found = loss_of(output, targets, CLASSES, class_weights=weights)
    assert float(found) == pytest.approx(float((each * weights).mean()), rel=1e-6)
    assert float(loss_of(output, targets, CLASSES)) == pytest.approx(float(each.mean()), rel=1e-6)


def test_one_voxel_and_an_empty_target_have_a_finite_loss():
    assert torch.isfinite(loss_of(torch.randn(1, 2, 1, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.long), STAGE))
    nothing = torch.zeros(1, 1, 2, 3, 4)
    assert float(soft_dice_loss(nothing, nothing, DiceOver.SAMPLE)) == 0.0
