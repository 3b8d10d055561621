import numpy as np
import pytest
from renalct.cascade import Cascade
from renalct.core.errors import GeometryError
from renalct.core.grid import Box
from renalct.core.labels import MassClass, Side, Structure
from renalct.core.volume import LabelMap
from renalct.formats.segment_names import SUSPECTED_NAMES, UNCERTAINTY_NAMES, is_label
from renalct.learning.acquisition.probabilities import PLAIN, RegionProbabilities
from renalct.learning.overlays import (
    OverlaySettings,
    Suspicion,
    levels_of,
    suspected_errors_of,
    suspected_errors_overlay,
    uncertainty,
    uncertainty_of,
)
from renalct.models.release import load_release
from renalct.synthetic.phantom import MassSpec, PhantomSettings, make_phantom
from shapes import grid_of

STRUCTURES = (Structure.BACKGROUND, Structure.KIDNEY, Structure.TUMOR)
GRID = grid_of((40, 30, 20), (2.0, 2.0, 2.0))
BOX = Box((8, 6, 4), (32, 26, 18))
KIDNEY, TUMOR = (slice(4, 20), slice(4, 16), slice(2, 12)), (slice(12, 18), slice(6, 12), slice(4, 10))
"""Blocks inside of the region, of 16 x 12 x 10 and 6 x 6 x 6 voxels of 8 mm3."""


def region(*, kidney=0.9, tumor=0.9, votes=None, near=True):
    """Answers on a region: kidney in a block, a tumor in a block of it, each with its probability."""
    shape = BOX.shape
    decided = np.zeros(shape, np.uint8)
    decided[KIDNEY], decided[TUMOR] = Structure.KIDNEY, Structure.TUMOR
    mean = np.zeros((3, *shape), np.float32)
    mean[0] = 1.0
    mean[:, *KIDNEY] = np.asarray([1 - kidney, kidney, 0.0])[:, None, None, None]
    mean[:, *TUMOR] = np.asarray([0.0, 1 - tumor, tumor])[:, None, None, None]
    votes = np.stack([decided] * 3) if votes is None else votes
    return RegionProbabilities(
        BOX, GRID.cropped(BOX), STRUCTURES, mean, np.zeros(shape, np.float32), votes, np.full(shape, near)
    )


def labels(**changes):
    """What the region's answers say, on the whole grid, with blocks changed to other values."""
    values = np.zeros(GRID.shape, np.uint8)
    part = values[BOX.slices]
    part[KIDNEY], part[TUMOR] = Structure.KIDNEY, Structure.TUMOR
    for block, value in changes.values():
        part[block] = value
    return LabelMap(values, GRID)


def test_uncertainty_is_nothing_for_a_sure_answer_and_1_bit_for_two_even_ones_or_more():
    probabilities = np.asarray([[1.0, 0.5, 0.25, 0.11], [0.0, 0.5, 0.25, 0.89], [0.0, 0.0, 0.5, 0.0]], np.float32)
    assert uncertainty(probabilities).tolist() == pytest.approx([0.0, 1.0, 1.0, 0.4999], abs=2e-3)


def test_levels_begin_where_the_settings_say():
    shares = np.asarray([0.0, 0.14, 0.15, 0.5, 0.84, 0.85, 1.0], np.float32)
    assert levels_of(shares).tolist() == [0, 0, 1, 2, 2, 3, 3]
    with pytest.raises(ValueError, match="levels rise"):
        OverlaySettings(levels=(0.5, 0.4, 0.9))


def test_the_overlay_of_uncertainty_lies_on_the_image_where_the_answers_are_unsure():
    values = uncertainty_of([region(kidney=0.99, tumor=0.6)], GRID)
    inside = values[BOX.slices]
    assert (inside[TUMOR] == 3).all()  # 0.6 against 0.4 has 0.97 bit
    assert np.count_nonzero(values) == np.count_nonzero(inside[TUMOR])
    assert not uncertainty_of([region(tumor=0.6, near=False)], GRID).any()
    assert not uncertainty_of([], GRID).any()


def test_labels_that_agree_with_the_model_are_not_suspected():
    overlay = suspected_errors_of([region()], GRID, labels=labels())
    assert not overlay.values.any() and overlay.errors == ()


@pytest.mark.parametrize(
    ("value", "suspicion", "words"),
    [
        (Structure.BACKGROUND, Suspicion.MISSED, "is labelled as nothing; the model says tumor (probability 0.90)"),
        (Structure.KIDNEY, Suspicion.CLASS, "is labelled as kidney; the model says tumor (probability 0.90)"),
    ],
)
def test_a_tumor_that_is_not_labelled_is_suspected_with_its_middle(value, suspicion, words):
    overlay = suspected_errors_of([region()], GRID, labels=labels(lost=(TUMOR, value)))
    (error,) = overlay.errors
    assert (error.suspicion, error.found, error.proposed) == (suspicion, value, Structure.TUMOR)
    assert error.volume_mm3 == 6**3 * 8
    assert np.abs(np.asarray(error.place.voxel) - (8 + 14.5, 6 + 8.5, 4 + 6.5)).max() <= 0.5
    assert error.place.patient_mm == tuple(2.0 * v for v in error.place.voxel)
    assert words in error.reason
    assert np.count_nonzero(overlay.values == suspicion) == 6**3
    assert (overlay.values[BOX.slices][TUMOR] == suspicion).all()


def test_a_label_where_the_model_sees_nothing_is_too_much():
    block = (slice(0, 3), slice(17, 20), slice(11, 14))
    (error,) = suspected_errors_of([region()], GRID, labels=labels(extra=(block, Structure.CYST))).errors
    assert (error.suspicion, error.found) == (Suspicion.TOO_MUCH, Structure.CYST)


def test_what_a_model_is_not_sure_of_is_not_held_against_a_label():
    assert suspected_errors_of([region(tumor=0.7)], GRID, labels=labels(lost=(TUMOR, 1))).errors == ()


def test_thin_edges_and_small_places_are_left_out():
    rim = (slice(4, 20), slice(4, 5), slice(2, 12))
    small = (slice(14, 16), slice(8, 10), slice(6, 8))
    assert suspected_errors_of([region()], GRID, labels=labels(rim=(rim, 0), small=(small, 1))).errors == ()


def test_an_angiomyolipoma_is_a_tumor_to_a_model_that_knows_no_other():
    assert suspected_errors_of([region()], GRID, labels=labels(aml=(TUMOR, Structure.ANGIOMYOLIPOMA))).errors == ()


def test_without_labels_answers_that_contradict_each_other_are_suspected():
    votes = region().votes.copy()
    votes[0][TUMOR] = Structure.KIDNEY
    (error,) = suspected_errors_of([region(votes=votes)], GRID).errors
    assert (error.suspicion, error.found, error.proposed) == (Suspicion.CLASS, Structure.TUMOR, Structure.KIDNEY)
    assert "is answered as tumor; other answers say kidney" in error.reason
    assert suspected_errors_of([region(votes=votes)], GRID, settings=OverlaySettings(dissent=0.5)).errors == ()


def test_the_largest_error_comes_first():
    more = labels(lost=(TUMOR, 0), end=((slice(4, 11), slice(4, 16), slice(2, 12)), 0))
    volumes = [error.volume_mm3 for error in suspected_errors_of([region()], GRID, labels=more).errors]
    assert len(volumes) == 2 and volumes == sorted(volumes, reverse=True)


def test_names_of_overlays_are_in_the_order_of_their_values_and_no_labels():
    overlay = suspected_errors_of([], GRID)
    assert overlay.label_names == dict(zip(SUSPECTED_NAMES, (1, 2, 3), strict=True))
    assert len(SUSPECTED_NAMES) == len(Suspicion)
    assert not any(is_label(name) for name in SUSPECTED_NAMES + UNCERTAINTY_NAMES)


def test_the_starter_release_suspects_a_tumor_that_was_not_labelled():
    settings = PhantomSettings(
        spacing_mm=(2.0, 2.0, 4.0), field_mm=(200.0, 240.0, 150.0), field_shift_mm=(-60.0, -10.0, 0.0),
        kidneys=(Side.LEFT,), masses=(MassSpec(MassClass.SOLID, 40.0, Side.LEFT),),
    )  # fmt: skip
    phantom = make_phantom(settings, seed=11)
    (volume,), (mass,) = phantom.volumes, phantom.masses
    values = phantom.label_map.values.copy(order="F")
    mass.mask.paint(values, Structure.BACKGROUND)
    cascade = Cascade(load_release(None))
    overlay = suspected_errors_overlay(volume, cascade, labels=LabelMap(values, volume.grid), answers=PLAIN)
    first, box = overlay.errors[0], mass.mask.box
    assert first.suspicion is Suspicion.MISSED
    assert all(a <= v < b for a, v, b in zip(box.start, first.place.voxel, box.stop, strict=True))
    assert overlay.values[first.place.voxel] == Suspicion.MISSED
    with pytest.raises(GeometryError, match="do not lie on the voxels of their image"):
        suspected_errors_overlay(volume, cascade, labels=labels())
