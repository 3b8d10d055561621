"""How samples are chosen: each case in turn, classes by size, foreground that is asked for, and partial labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from renalct.core.errors import RecipeError
from renalct.core.labels import Structure
from renalct.models.cases import Origin
from renalct.models.losses import loss_of
from renalct.models.prepared_cases import Prepared
from renalct.models.recipe import Activation, Target
from renalct.models.recipes import recipe_named
from renalct.models.samples import Sampler, class_counts, class_weights, targets_of
from renalct.models.training_settings import Augmentation, Balance, Sampling
from tiny_recipes import tiny

VOLUME = tiny(recipe_named("zhao2023"), patch=8).segment
SLICES = recipe_named("beheshtifard2023").localize
CLASSIFY = tiny(recipe_named("zhao2023"), patch=8).classify


def quiet(stage, **changes):
    return replace(stage, training=replace(stage.training, augmentation=Augmentation(), **changes))


def filled(value: int, shape=(8, 8, 8), label=0, class_index=-1) -> Prepared:
    """A case whose every voxel has one value, to know it by."""
    labels = np.full(shape, label, np.uint8)
    return Prepared(Origin.VOLUME, np.full((1, *shape), value, np.float16), labels, ((), ()), class_index, fill=-1.0)


def test_in_turn_every_case_comes_once_per_epoch_in_another_order():
    stage = quiet(VOLUME, sampling=Sampling.IN_TURN, batch=2)
    sampler = Sampler(stage, tuple(filled(n) for n in range(6)), seed=1)
    assert sampler.samples_per_epoch == 6 and stage.training.steps_for(6) == 400 * 3
    epochs = [
        [int(value) for step in range(3 * e, 3 * e + 3) for value in sampler.batch(step)[0][:, 0, 4, 4, 4]]
        for e in range(3)
    ]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs) and len({tuple(e) for e in epochs}) > 1


def test_in_turn_every_slice_of_every_volume_comes_once():
    stage = quiet(SLICES, batch=3, patch=(8, 8, 1))
    pool = []
    for start, depth in ((0, 2), (10, 4)):
        case = filled(0, (8, 8, depth))
        case.image[0] += np.arange(start, start + depth, dtype=np.float16)
        pool.append(case)
    sampler = Sampler(stage, tuple(pool))
    seen = [int(value) for step in range(2) for value in sampler.batch(step)[0][:, 0, 4, 4]]
    assert sampler.samples_per_epoch == 6 and sorted(seen) == [0, 1, 10, 11, 12, 13]


def test_parts_of_a_batch_are_the_samples_of_the_batch():
    sampler = Sampler(VOLUME, tuple(filled(n) for n in range(5)))
    whole, parts = sampler.batch(2)[0], [sampler.batch(2, numbers)[0] for numbers in (range(0, 3), range(3, 4))]
    assert torch.equal(whole, torch.cat(parts))


def test_class_weights_are_inverse_to_the_size_of_a_class():
    """The masses of Zhao 2023: 198 AML, 1296 cystic, 397 solid; 1891 / (3 x 198) = 3.18 and so on, mean 1."""
    pool = [filled(0, (1, 1, 1), class_index=n) for n, count in enumerate((198, 1296, 397)) for _ in range(count)]
    assert class_counts(pool) == (198, 1296, 397)
    assert class_weights(pool) == pytest.approx((3.1835, 0.4864, 1.5877), abs=1e-4)
    assert sum(class_weights(pool)[case.class_index] for case in pool) == pytest.approx(1891)
    assert class_weights(pool[:198]) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(("balance", "share"), [(Balance.SAMPLING, 1 / 2), (Balance.NONE, 1 / 10)])
def test_classes_are_drawn_equally_or_as_they_are(balance, share):
    stage = quiet(CLASSIFY, balance=balance, sampling=Sampling.AT_RANDOM, batch=50)
    pool = tuple(filled(0, class_index=int(n == 0)) for n in range(10))
    drawn = torch.cat([Sampler(stage, pool).batch(step)[1] for step in range(8)])
    assert float(drawn.float().mean()) == pytest.approx(share, abs=0.09)  # 400 draws: 3.6 and 6 standard deviations


def test_a_third_of_foreground_in_the_patch_of_zang_is_refused_in_litres():
    stage = recipe_named("zang2021_foreground_third").segment
    with pytest.raises(RecipeError, match=r"699051 voxels of target \(5\.5 litres\).*no case has more than 512"):
        Sampler(stage, (filled(0, label=1),))


def test_foreground_that_is_asked_for_is_there_or_the_case_is_refused():
    case = filled(0, (16, 8, 8))
    case.labels[:8] = 1
    stage = quiet(VOLUME, least_foreground=0.5, sampling=Sampling.AT_RANDOM, batch=4)
    _, targets = Sampler(stage, (case,)).batch(0)
    assert ((targets > 0).flatten(1).float().mean(1) >= 0.0).all()
    empty = filled(0, (16, 8, 8))
    with pytest.raises(RecipeError, match=r"in 50 tries; lower training\.least_foreground"):
        Sampler(replace(stage, targets=(Target.KIDNEY,)), (case, empty)).batch(1, range(40))


def test_targets_say_what_a_case_does_not_assess():
    stage = replace(VOLUME, targets=(Target.KIDNEY, Target.TUMOR, Target.CYST))
    labels = np.asarray([0, 1, 2, 4], np.uint8).reshape(4, 1, 1)
    assessed = frozenset({Structure.BACKGROUND, Structure.KIDNEY, Structure.TUMOR})
    assert targets_of(labels, stage, assessed).ravel().tolist() == [-8, 1, 2, 2]  # cyst is index 3: 2 ** 3
    kidney_alone = frozenset({Structure.BACKGROUND, Structure.KIDNEY})
    assert targets_of(labels, stage, kidney_alone).ravel().tolist() == [-12, 1, -12, -12]
    nested = replace(stage, targets=(Target.KIDNEY, Target.MASS), activation=Activation.SIGMOID)
    assert targets_of(labels, nested, assessed)[:, :, 0, 0].tolist() == [[0, 1, 0, 0], [-1, -1, -1, -1]]


def test_a_partial_case_from_sampler_to_loss_has_no_gradient_for_what_it_does_not_assess():
    case = replace(filled(0, label=0), assessed=frozenset({Structure.BACKGROUND, Structure.KIDNEY}))
    stage = quiet(replace(VOLUME, targets=(Target.KIDNEY, Target.CYST), activation=Activation.SIGMOID), batch=2)
    images, targets = Sampler(stage, (case,)).batch(0)
    output = torch.zeros(len(images), 2, 8, 8, 8, requires_grad=True)
    loss_of(output, targets, stage).backward()
    assert output.grad[:, 0].any() and not output.grad[:, 1].any()
