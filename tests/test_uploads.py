import gzip
from datetime import datetime

import numpy as np
import pytest
from dicom_findings import box_mask, made_series
from pydicom.uid import DeflatedExplicitVRLittleEndian
from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.grid import Grid
from renalct.core.labels import Side, Structure
from renalct.core.volume import LabelMap
from renalct.formats.dicom.label_seg import LabelOrigin, label_segmentation
from renalct.formats.segment_names import (
    SUSPECTED_NAMES,
    UNCERTAINTY_NAMES,
    is_label,
    side_of_segment,
    structure_of_segment,
)
from renalct.formats.uploads import read_upload

GRID = Grid((4, 1, 1), np.diag([-1.0, -1.0, 2.0, 1.0]))
SERIES = made_series((20, 16, 12))
ORIGIN = LabelOrigin("ann", 1, datetime(2026, 1, 2))
S = Structure


def seg_nrrd(folder, layers, segments, *, extra="", encoding="gzip", sizes=None, content=None):
    """A 3D Slicer segmentation of 4 voxels in a row; `segments` are (name, value, layer)."""
    lines = [f"Segment{n}_Name:={name}\nSegment{n}_LabelValue:={value}\nSegment{n}_Layer:={layer}"
             for n, (name, value, layer) in enumerate(segments)]  # fmt: skip
    header = (
        f"NRRD0004\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\n"
        f"sizes: {sizes or f'{len(layers)} 4 1 1'}\nspace directions: none (1,0,0) (0,1,0) (0,0,2)\n"
        f"encoding: {encoding}\nspace origin: (0,0,0)\n{extra}" + "\n".join(lines) + "\n\n"
    )
    voxels = np.asarray(layers, np.uint8).tobytes(order="F") if content is None else content
    path = folder / "a.seg.nrrd"
    path.write_bytes(header.encode() + (gzip.compress(voxels) if encoding == "gzip" else voxels))
    return path


def values(found):
    return found.label_map.values.ravel().tolist()


def test_a_mass_that_overlaps_its_kidney_lies_on_it_whatever_the_order_of_the_layers(tmp_path):
    kidney, tumor = [1, 1, 1, 0], [0, 0, 1, 1]
    for layers, names in (((kidney, tumor), ("kidney", "tumor")), ((tumor, kidney), ("tumor", "kidney"))):
        segments = [(name, 1, layer) for layer, name in enumerate(names)]
        assert values(read_upload(seg_nrrd(tmp_path, layers, segments), (), grid=GRID)) == [1, 1, 2, 2]


def test_two_masses_in_one_voxel_are_refused_with_their_place(tmp_path):
    path = seg_nrrd(tmp_path, ([0, 1, 1, 0], [0, 0, 1, 1]), [("cyst", 1, 0), ("tumor", 1, 1)])
    with pytest.raises(
        LabelError, match=r"1 voxels of a.seg.nrrd are cyst and tumor at once, the first at \(2, 0, 0\)"
    ):
        read_upload(path, (), grid=GRID)


def test_scribbles_and_overlays_in_layers_of_their_own_cover_nothing(tmp_path):
    layers = ([1, 1, 2, 0], [0, 3, 3, 4])
    segments = [("kidney", 1, 0), ("cyst", 2, 0), ("foreground_scribbles", 3, 1), ("uncertainty high", 4, 1)]
    found = read_upload(seg_nrrd(tmp_path, layers, segments), (("tumor", 3),), grid=GRID)
    assert values(found) == [1, 1, 3, 0]
    assert found.dropped == (("foreground_scribbles", 2), ("uncertainty high", 1))


def test_a_value_means_what_its_own_layer_says(tmp_path):
    path = seg_nrrd(tmp_path, ([1, 0, 0, 0], [0, 1, 0, 0]), [("kidney", 1, 0), ("cyst", 1, 1)])
    assert values(read_upload(path, (), grid=GRID)) == [1, 3, 0, 0]


def test_sides_in_names_are_kept_beside_the_labels(tmp_path):
    path = seg_nrrd(tmp_path, ([1, 2, 0, 0],), [("Left kidney", 1, 0), ("kidney_right", 2, 0)])
    found = read_upload(path, (), grid=GRID)
    assert values(found) == [1, 1, 0, 0]
    sided = [(named.side, named.structure, named.mask.count) for named in found.sided]
    assert sided == [
        (Side.LEFT, S.KIDNEY, 1),
        (Side.RIGHT, S.KIDNEY, 1),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"content": bytes(5000)}, "promises 4 bytes of voxels, and it holds more"),
        ({"content": bytes(2)}, "promises 4 bytes of voxels, and it holds 2"),
        ({"extra": "data file: /etc/passwd\n"}, "keeps its voxels in another file"),
        ({"encoding": "bzip2"}, "encoded as bzip2"),
        ({"sizes": "1 4 -1 1"}, "cannot be read as NRRD|promises"),
    ],
)
def test_a_file_that_is_not_what_its_header_says_is_refused(tmp_path, changes, words):
    path = seg_nrrd(tmp_path, ([1, 0, 0, 0],), [("kidney", 1, 0)], **changes)
    with pytest.raises(InputError, match=words):
        read_upload(path, (), grid=GRID)


def test_a_gzip_that_unpacks_without_end_is_stopped_at_what_is_promised(tmp_path):
    path = seg_nrrd(tmp_path, ([1, 0, 0, 0],), [("kidney", 1, 0)], content=bytes(300_000_000))
    with pytest.raises(InputError, match="holds more"):
        read_upload(path, (), grid=GRID)


def test_another_size_is_refused_from_the_header(tmp_path):
    path = seg_nrrd(tmp_path, ([1, 0, 0, 0],), [("kidney", 1, 0)])
    with pytest.raises(GeometryError, match="4 x 1 x 1 voxels and its image 5 x 1 x 1"):
        read_upload(path, (), grid=Grid((5, 1, 1), GRID.affine))


@pytest.mark.parametrize(
    "present", [{S.KIDNEY, S.CYST}, {S.CYST}, {S.TUMOR, S.ANGIOMYOLIPOMA}, set(S) - {S.BACKGROUND}]
)
@pytest.mark.parametrize("in_folder", [True, False])
def test_a_segmentation_in_which_a_class_is_absent_comes_back_as_it_was(tmp_path, present, in_folder):
    label_map = labelled(present)
    label_segmentation(SERIES, label_map, ORIGIN).save_as(tmp_path / "seg.dcm")
    (tmp_path / "readme.txt").write_text("beside it")
    found = read_upload(tmp_path if in_folder else tmp_path / "seg.dcm", (), grid=SERIES.volume.grid)
    assert np.array_equal(found.label_map.values, label_map.values)


def labelled(present):
    values = np.zeros(SERIES.volume.grid.shape, np.uint8)
    for structure in present:
        box_mask((2, 2 + 3 * structure, 2), (9, 4 + 3 * structure, 6)).paint(values, structure)
    return LabelMap(values, SERIES.volume.grid)


def test_an_overlay_in_a_segmentation_is_no_label(tmp_path):
    seg = label_segmentation(SERIES, labelled({S.KIDNEY, S.CYST}), ORIGIN)
    seg.SegmentSequence[1].SegmentLabel = "uncertainty high"
    seg.save_as(tmp_path / "seg.dcm")
    found = read_upload(tmp_path / "seg.dcm", (), grid=SERIES.volume.grid)
    assert np.array_equal(found.label_map.values, labelled({S.KIDNEY}).values)


def test_which_of_two_segmentations_is_meant_is_asked(tmp_path):
    for name in ("a.dcm", "b.dcm"):
        label_segmentation(SERIES, labelled({S.KIDNEY}), ORIGIN).save_as(tmp_path / name)
    with pytest.raises(InputError, match="holds 2 DICOM segmentations"):
        read_upload(tmp_path, (), grid=SERIES.volume.grid)


def test_frames_larger_than_the_image_are_refused_unread(tmp_path):
    label_segmentation(SERIES, labelled({S.KIDNEY}), ORIGIN).save_as(tmp_path / "seg.dcm")
    with pytest.raises(GeometryError, match="frames of 16 x 20 pixels, larger than its image"):
        read_upload(tmp_path / "seg.dcm", (), grid=GRID)


def test_damaged_and_deflated_segmentations_are_refused(tmp_path):
    seg = label_segmentation(SERIES, labelled({S.KIDNEY}), ORIGIN)
    del seg.SegmentSequence
    seg.save_as(tmp_path / "damaged.dcm")
    with pytest.raises(InputError, match=r"damaged\.dcm is a damaged DICOM segmentation"):
        read_upload(tmp_path / "damaged.dcm", (), grid=SERIES.volume.grid)
    seg.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    seg.save_as(tmp_path / "deflated.dcm")
    with pytest.raises(InputError, match="deflated as a whole"):
        read_upload(tmp_path / "deflated.dcm", (), grid=SERIES.volume.grid)


@pytest.mark.parametrize("name", [*UNCERTAINTY_NAMES, *SUSPECTED_NAMES, "background", "Background_Scribbles"])
def test_names_that_are_no_labels(name):
    assert not is_label(name) and structure_of_segment(name) is S.BACKGROUND


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("Left kidney", Side.LEFT),
        ("kidney_right", Side.RIGHT),
        ("kidney", Side.UNDETERMINED),
        ("left or right", Side.UNDETERMINED),
    ],
)
def test_the_side_in_a_name(name, side):
    assert side_of_segment(name) is side and is_label(name)
