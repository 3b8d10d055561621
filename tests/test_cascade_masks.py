"""Masses as a cascade finds them: each has the class of the reference that it covers most of."""

from dataclasses import replace

import numpy as np
import pytest
from renalct.core.findings import Findings
from renalct.core.grid import Box
from renalct.core.labels import MassClass
from renalct.core.volume import Mask
from renalct.learning import cascade_masks
from renalct.learning.cascade_masks import shared_voxels, with_cascade_masks
from renalct.models.cases import LabelledMass
from test_samples import file_of, made_case


def block(start, stop) -> Mask:
    box = Box(start, stop)
    return Mask(box, np.ones(box.shape, bool))


@pytest.mark.parametrize(
    ("other", "voxels"),
    [
        (block((1, 1, 1), (3, 3, 3)), 1),  # corners of two blocks of 2 x 2 x 2
        (block((0, 0, 0), (2, 2, 2)), 8),
        (block((2, 0, 0), (4, 2, 2)), 0),  # beside each other
        (block((0, 0, 0), (0, 0, 0)), 0),  # nothing
        (block((1, 1, 1), (2, 2, 2)), 1),  # one voxel
    ],
)
def test_shared_voxels_of_two_boxes(other, voxels):
    assert shared_voxels(block((0, 0, 0), (2, 2, 2)), other) == voxels


def test_found_masses_take_their_class_and_false_ones_are_left_out(monkeypatch, tmp_path):
    small, large = block((0, 0, 0), (2, 2, 2)), block((2, 0, 0), (6, 4, 4))
    case = replace(made_case(), masses=(LabelledMass(small, MassClass.CYSTIC), LabelledMass(large, MassClass.SOLID)))
    found = (block((1, 0, 0), (5, 2, 2)), block((20, 20, 10), (22, 22, 12)))

    class Cascade:
        def __init__(self, release, *, explained):
            assert not explained, "nobody looks at the maps"

        localize = staticmethod(lambda volume: None)
        segment = staticmethod(lambda volume, regions: None)

        @staticmethod
        def characterize(volume, segmented):
            findings = Findings()
            object.__setattr__(findings, "masses", tuple(LabelledMass(mask, MassClass.UNKNOWN) for mask in found))
            return findings

    monkeypatch.setattr(cascade_masks, "Cascade", Cascade)
    monkeypatch.setattr(cascade_masks, "load_release", lambda folder: None)
    (file,) = with_cascade_masks([file_of(case)], tmp_path)
    (changed,) = file.load()
    assert [(m.mask, m.mass_class) for m in changed.masses] == [(found[0], MassClass.SOLID)]
