import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.grid import Grid
from renalct.core.volume import LabelMap
from renalct.formats.nrrd_labels import read_labels, write_label_map

# Columns run to the patient's left, rows to the back, slices to the head: the usual axial CT.
AFFINE = np.array([[-0.5, 0, 0, 100.25], [0, -0.75, 0, 90.5], [0, 0, 5.0, -212.5], [0, 0, 0, 1]])


@pytest.fixture
def label_map() -> LabelMap:
    values = np.zeros((4, 3, 2), np.uint8)
    values[1, 2, 0] = 1
    values[3, 0, 1] = 4
    return LabelMap(values, Grid((4, 3, 2), AFFINE))


def test_a_label_map_comes_back_on_its_grid(label_map, tmp_path):
    write_label_map(label_map, tmp_path / "a.nrrd")
    labels = read_labels(tmp_path / "a.nrrd")
    assert np.array_equal(labels.values, label_map.values)
    assert labels.grid.same_as(label_map.grid)
    assert labels.names == ()


def test_another_reader_finds_each_voxel_at_its_place_in_the_patient(label_map, tmp_path):
    write_label_map(label_map, tmp_path / "a.nrrd")
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    assert image.GetPixel(3, 0, 1) == 4
    assert image.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    left, posterior, superior = image.TransformIndexToPhysicalPoint((3, 0, 1))
    assert (-left, -posterior, superior) == pytest.approx((100.25 - 1.5, 90.5, -207.5))


def test_the_bytes_after_the_header_are_the_voxels_with_the_first_index_fastest(label_map, tmp_path):
    write_label_map(label_map, tmp_path / "a.nrrd")
    body = (tmp_path / "a.nrrd").read_bytes().split(b"\n\n", 1)[1]
    assert len(body) == 24
    assert body[1 + 2 * 4] == 1 and body[3 + 1 * 12] == 4


def test_two_writes_are_equal(label_map, tmp_path):
    write_label_map(label_map, tmp_path / "a.nrrd")
    write_label_map(label_map, tmp_path / "b.nrrd")
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


def test_one_voxel_is_enough(tmp_path):
    one = LabelMap(np.ones((1, 1, 1), np.uint8), Grid((1, 1, 1), AFFINE))
    write_label_map(one, tmp_path / "a.nrrd")
    assert read_labels(tmp_path / "a.nrrd").values.tolist() == [[[1]]]


def test_a_compressed_file_of_another_writer_is_read(label_map, tmp_path):
    image = sitk.GetImageFromArray(label_map.values.transpose())
    image.SetSpacing((0.5, 0.75, 5.0))
    image.SetOrigin((-100.25, -90.5, -212.5))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"), useCompression=True)
    labels = read_labels(tmp_path / "a.nrrd")
    assert np.array_equal(labels.values, label_map.values)
    assert labels.grid.same_as(label_map.grid)


SEGMENTATION = """NRRD0004
type: uint8
dimension: {dimension}
space: {space}
sizes: {sizes}
space directions: {none}(-1,0,0) (0,-1,0) (0,0,2)
encoding: gzip
space origin: (1,2,3)
Segment0_Name:=cyst
Segment0_LabelValue:=3
Segment1_Name:=Kidney
Segment1_LabelValue:=7

"""


def segmentation(tmp_path, *, layers=0, space="left-posterior-superior"):
    """A 3D Slicer segmentation of 2 x 1 x 1 voxels with the values 3 and 7."""
    header = SEGMENTATION.format(
        dimension=4 if layers else 3,
        sizes=f"{layers} 2 1 1" if layers else "2 1 1",
        none="none " if layers else "",
        space=space,
    )
    values = np.zeros((max(layers, 1), 2), np.uint8)
    values[:] = [3, 7]
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(header.encode() + gzip.compress(values.tobytes(order="F")))
    return path


@pytest.mark.parametrize("layers", [0, 1])
def test_a_slicer_segmentation_carries_its_names(tmp_path, layers):
    labels = read_labels(segmentation(tmp_path, layers=layers))
    assert labels.names == (("cyst", 3), ("Kidney", 7))
    assert labels.values.ravel().tolist() == [3, 7]
    assert np.allclose(labels.grid.to_patient((0, 0, 0)), (-1, -2, 3))


def test_segments_that_overlap_are_refused(tmp_path):
    with pytest.raises(LabelError, match="2 layers of segments that overlap"):
        read_labels(segmentation(tmp_path, layers=2))


def test_a_file_without_a_place_in_the_patient_is_refused(tmp_path):
    with pytest.raises(GeometryError, match="does not say where its voxels lie"):
        read_labels(segmentation(tmp_path, space="scanner-xyz"))


@pytest.mark.parametrize("content", [b"", b"NRRD0004\ntype: uint8\n", b"not an image"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as NRRD"):
        read_labels(tmp_path / "a.nrrd")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no file a\.nrrd"):
        read_labels(tmp_path / "a.nrrd")
