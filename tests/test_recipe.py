"""Recipes: what the papers say, checked when built, and strict JSON."""

from dataclasses import replace

import pytest
from renalct.core.errors import RecipeError
from renalct.core.labels import KNOWN_CLASSES, Structure
from renalct.models.recipe import Field, Geometry, Intensity, Masking, Recipe, Resize, Target
from renalct.models.recipes import RECIPES, recipe_named
from renalct.models.training_settings import Augmentation, Loss, Optimizer, Sampling, Schedule, Select
from renalct.models.values import from_json, to_json


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_every_recipe_survives_json(recipe):
    assert from_json(Recipe, to_json(recipe)) == recipe


def test_names_of_recipes_are_unique():
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)


def test_an_unknown_recipe_proposes_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'zhao2023'"):
        recipe_named("zhao2032")


def test_an_unknown_key_proposes_the_nearest_and_says_where():
    data = to_json(recipe_named("starter"))
    data["segment"]["margin"] = data["segment"].pop("margin_mm")
    with pytest.raises(RecipeError, match=r"recipe\.segment has the unknown key 'margin'; did you mean 'margin_mm'"):
        from_json(Recipe, data)


def test_a_missing_key_is_named():
    data = to_json(recipe_named("starter"))
    del data["segment"]["network"]
    with pytest.raises(RecipeError, match=r"recipe\.segment lacks the key 'network'"):
        from_json(Recipe, data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("segment", "members"), 1.5, "a whole number is needed"),
        (("segment", "members"), True, "a whole number is needed"),
        (("segment", "margin_mm"), "20", "a number is needed"),
        (("segment", "field"), "each kidny", "did you mean 'each kidney'"),
        (("segment", "targets"), "kidney", "a list is needed"),
        (("segment", "geometry", "spacing_mm"), [1.0, 1.0], "2 values; 3 are needed"),
        (("segment", "geometry"), 3, "an object with the keys of Geometry"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(path, value, message):
    data = to_json(recipe_named("starter"))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(RecipeError, match=message):
        from_json(Recipe, data)


def test_a_whole_number_serves_where_a_number_is_needed():
    data = to_json(recipe_named("starter"))
    data["localize"]["margin_mm"] = 20
    assert from_json(Recipe, data).localize.margin_mm == 20.0


def test_the_printed_window_of_zhao_is_30_hu_wide_about_300_and_the_usable_one_swapped():
    literal = recipe_named("zhao2023_literal").segment.intensity
    usable = recipe_named("zhao2023").segment.intensity
    assert (literal.low_hu, literal.high_hu) == (300 - 15, 300 + 15)
    assert (usable.low_hu, usable.high_hu) == (30 - 150, 30 + 150)


def test_zhao_has_two_stages_a_one_stage_comparator_and_an_ensemble():
    two, one, many = (recipe_named(n) for n in ("zhao2023", "zhao2023_one_stage", "zhao2023_ensemble"))
    assert two.localize and two.segment.targets == (Target.MASS,) and two.segment.field is Field.EACH_KIDNEY
    assert one.localize is None and one.segment.targets == (Target.KIDNEY, Target.MASS)
    assert many.segment.members == 5 and replace(many.segment, members=1) == two.segment
    assert two.classify and two.classify.masking is Masking.MASS and two.classify.network.hidden == 128


def test_the_literal_classifier_of_zhao_stretches_and_the_default_pads():
    literal, default = recipe_named("zhao2023_literal").classify, recipe_named("zhao2023").classify
    assert literal and default
    assert (literal.geometry.resize, default.geometry.resize) == (Resize.STRETCH, Resize.PAD)


def test_the_first_phase_of_beheshtifard_keeps_masses_unless_literal():
    assert recipe_named("beheshtifard2023").localize.targets == (Target.KIDNEY_AND_MASS,)
    assert recipe_named("beheshtifard2023_kidney_only").localize.targets == (Target.KIDNEY,)


def test_targets_know_their_label_values():
    assert Target.MASS.structures == {Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA}
    assert Target.TUMOR.structures == {Structure.TUMOR, Structure.ANGIOMYOLIPOMA}
    assert [t.painted_as.title for t in Target] == ["kidney", "kidney", "tumor", "tumor", "cyst"]


@pytest.mark.parametrize(
    "build",
    [
        lambda: Intensity(low_hu=10.0, high_hu=10.0),
        lambda: Intensity(low_hu=10.0),
        lambda: Intensity(low_hu=0.0, high_hu=1.0, percentiles=(1.0, 99.0)),
        lambda: Geometry(spacing_mm=(1.0, 0.0, 1.0)),
        lambda: Geometry(patch=(0, 1, 1)),
        lambda: Geometry(overlap=1.0),
        lambda: Geometry(neighbors=1),
        lambda: replace(recipe_named("starter").segment, classes=KNOWN_CLASSES),
        lambda: replace(recipe_named("starter").segment, members=0),
        lambda: replace(recipe_named("starter").segment, margin_mm=-1.0),
        lambda: replace(recipe_named("starter").classify, classes=KNOWN_CLASSES[::-1]),
        lambda: replace(recipe_named("starter"), localize=None),
        lambda: replace(recipe_named("zhao2023"), localize=recipe_named("zhao2023").segment),
        lambda: replace(recipe_named("starter"), name=""),
        lambda: replace(recipe_named("starter").segment, near_located_mm=-1.0),
        lambda: replace(recipe_named("starter"), abstain_below=2.0),
        lambda: replace(recipe_named("starter"), least_parenchyma_share=1.0),
        lambda: replace(recipe_named("starter"), least_mass_confidence=1.0),
        lambda: replace(recipe_named("starter").segment.network, strides=()),
        lambda: replace(recipe_named("zang2021").segment.network, kernels=((3, 3, 3),)),
        lambda: replace(recipe_named("starter").classify.network, channels=(1, 2)),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(build):
    with pytest.raises(RecipeError):
        build()


def test_zhao_trains_as_its_methods_say_and_what_they_leave_open_is_constant():
    for name, stage in recipe_named("zhao2023").stages:
        training, moved = stage.training, stage.training.augmentation
        assert (training.learning_rate, training.batch, training.epochs) == (1e-4, 4, 400), name
        assert (training.optimizer, training.schedule) == (Optimizer.ADAM, Schedule.CONSTANT)
        assert (moved.rotation_deg, moved.translation) == (10.0, 0.1) and moved.noise_hu > 0
    assert recipe_named("zhao2023").segment.training.steps_for(487) == 400 * 122  # 487 series in batches of 4
    assert recipe_named("zhao2023_medicalnet").classify.network.dilated


def test_zang_trains_for_1000_epochs_of_250_batches_by_sgd():
    training = recipe_named("zang2021").segment.training
    assert (training.learning_rate, training.momentum, training.batch) == (0.06, 0.99, 4)
    assert training.steps_for(240) == training.steps_for(7) == 250_000
    assert (training.optimizer, training.schedule) == (Optimizer.SGD_NESTEROV, Schedule.POLYNOMIAL)
    changes = training.augmentation
    assert changes.separately and changes.probability == changes.mirror_probability == 0.4
    assert changes.mirror_axes == (0, 1, 2) and changes.tilt_deg == changes.rotation_deg


def test_beheshtifard_trains_for_100_epochs_of_all_slices_and_keeps_the_lowest_loss():
    training = recipe_named("beheshtifard2023").localize.training
    assert (training.learning_rate, training.batch, training.epochs) == (1e-3, 128, 100)
    assert training.steps_for(12_800) == 10_000 and training.select is Select.BEST_LOSS
    assert (training.loss, training.sampling) == (Loss.BINARY_CROSS_ENTROPY, Sampling.IN_TURN)


def test_splits_are_those_of_the_papers():
    shares = {name: recipe_named(name).split_shares for name in ("zhao2023", "zang2021", "beheshtifard2023")}
    assert shares == {"zhao2023": (8, 1, 1), "zang2021": (240, 60), "beheshtifard2023": (80, 10, 10)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "training.batch is 0; 1 or more"),
        ({"epochs": 0}, "training.epochs is 0"),
        ({"learning_rate": float("nan")}, "training.learning_rate is nan; a number above 0"),
        ({"ema_decay": 1.0}, "training.ema_decay is 1.0; a number from 0 to below 1"),
        ({"foreground_share": 1.5}, "training.foreground_share is 1.5; a share from 0 to 1"),
        ({"clip_gradient": -1.0}, "training.clip_gradient is -1.0; 0 or more"),
    ],
)
def test_a_training_that_cannot_work_is_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        replace(recipe_named("starter").segment.training, **changes)


def test_an_augmentation_that_cannot_work_is_refused():
    with pytest.raises(RecipeError, match="axes are 0, 1 and 2"):
        Augmentation(mirror_axes=(3,))
    with pytest.raises(RecipeError, match=r"augmentation\.probability is 2"):
        Augmentation(probability=2.0)
