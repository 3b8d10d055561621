import gzip
import json

import nibabel as nib
import numpy as np
import pytest
from labelled_body import FLUID_HU, GRID, LEFT, RIGHT, Body, ball
from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.formats import nifti
from renalct.imaging.label_findings import FindingKind
from renalct.learning.ingestion import assessed_region, ingest, messages, submit
from renalct.learning.store import LabelStore, Presence, StoredImage, VersionNote

S = Structure
ALL = {"tumor": "absent", "cyst": "present", "angiomyolipoma": "absent"}


@pytest.fixture(scope="module")
def body():
    """Two kidneys and a cyst on the front of the right one."""
    return Body().paint(ball((60, 5, 0), 24), S.CYST, FLUID_HU)


@pytest.fixture
def store(tmp_path):
    store = LabelStore(tmp_path / "store")
    store.register([StoredImage("case.1 a", "case.nii.gz")])
    yield store
    store.close()


def saved(folder, values, *, name="label.nii.gz", dtype=np.uint8, affine=GRID.affine):
    path = folder / name
    nib.save(nib.Nifti1Image(np.asarray(values).astype(dtype), affine), folder / "label.nii.gz")
    if name != "label.nii.gz":
        (folder / "label.nii.gz").rename(path)
    return path


def named(*names, **info):
    return {"label_info": [{"name": name, "idx": value} for name, value in names], **info}


def kept(store):
    return sorted(str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file())


def put(store, body, path, info, **more):
    return submit(store, "case.1 a", path, volume=body.volume, note=VersionNote(author="ann"), info=info, **more)


def test_a_submitted_label_is_a_version_in_our_values_with_the_upload_beside_it(tmp_path, store, body):
    upload = np.select([body.values == S.CYST, body.values == S.KIDNEY], [1, 7])
    path = saved(tmp_path, upload)
    done = put(store, body, path, named(("renal cyst", 1), ("Kidney", 7), presence=ALL))
    assert done.findings == () and done.messages == ("No finding: the labels passed all checks.",)
    read = nifti.read_label_map(store.label_path(done.version))
    assert np.array_equal(read.values, body.values) and read.values.dtype == np.uint8
    assert store.blob_path(done.version.note.uploaded).read_bytes() == path.read_bytes()
    assert dict(done.version.presence) == {
        S.KIDNEY: Presence.PRESENT, S.TUMOR: Presence.ABSENT, S.CYST: Presence.PRESENT,
        S.ANGIOMYOLIPOMA: Presence.ABSENT,
    }  # fmt: skip


def test_findings_are_shown_to_the_annotator_and_kept_with_the_version(tmp_path, store, body):
    path = saved(tmp_path, np.where(body.values == S.CYST, S.TUMOR, body.values))
    done = put(store, body, path, named(("kidney", 1), ("tumor", 2), presence={"cyst": "absent"}))
    assert done.messages[0].startswith("Warning: The tumor on slice 21 (S 0.0 mm) has a median of 8 HU")
    note = json.loads(done.version.note.info_json)
    assert note["findings"][0]["kind"] == FindingKind.HU_CONTRADICTS.value and note["findings"][0]["slice"] == 21


def test_what_nobody_looked_for_is_not_assessed_and_a_finding(tmp_path, body):
    path = saved(tmp_path, np.where(body.values == S.KIDNEY, 1, 0))
    silent = ingest(path, body.volume, info=named(("kidney", 1)))
    assert dict(silent.presence)[S.TUMOR] is dict(silent.presence)[S.CYST] is Presence.NOT_ASSESSED
    assert FindingKind.EMPTY_CLASS in {finding.kind for finding in silent.findings}
    said = ingest(path, body.volume, info=named(("kidney", 1), assessed=["kidney", "tumor"]))
    assert dict(said.presence)[S.TUMOR] is dict(said.presence)[S.ANGIOMYOLIPOMA] is Presence.ABSENT
    assert dict(said.presence)[S.CYST] is Presence.NOT_ASSESSED


def test_voxels_of_a_structure_that_is_said_to_be_not_assessed_teach_nothing(tmp_path, body):
    info = named(("kidney", 1), ("cyst", 3), presence={"cyst": "not assessed", "tumor": "absent"})
    found = ingest(saved(tmp_path, body.values), body.volume, info=info)
    assert dict(found.presence)[S.CYST] is Presence.NOT_ASSESSED
    assert found.findings[0].kind is FindingKind.PRESENCE


@pytest.mark.parametrize(
    "segments",
    [
        ("kidney", "cyst"),
        ("cyst", "kidney"),
        ("tumor", "cyst", "kidney"),
        ("background", "cyst", "tumor", "kidney"),
        ("foreground_scribbles", "kidney", "background_scribbles", "cyst"),
        ("uncertainty high", "suspected errors: missed", "kidney", "renal_cyst"),
    ],
    ids=", ".join,
)
def test_deleted_reordered_and_added_segments_give_the_right_classes(tmp_path, body, segments):
    values = np.zeros(GRID.shape, np.uint8)
    for value, name in enumerate(segments, start=1):
        values[{"kidney": body.values == S.KIDNEY, "cyst": body.values == S.CYST}.get(name.split("_")[-1], False)] = (
            value
        )
    corner = np.zeros(GRID.shape, bool)
    corner[0, 0, 0] = True
    others = [v for v, name in enumerate(segments, 1) if name.split("_")[-1] not in ("kidney", "cyst", "tumor")]
    values[corner] = others[0] if others else 0
    found = ingest(saved(tmp_path, values), body.volume, info=named(*((n, v) for v, n in enumerate(segments, 1))))
    assert np.array_equal(found.label_map.values, body.values)


def test_scribbles_over_a_label_are_left_out_and_said(tmp_path, body):
    values = body.values.copy()
    values[ball(RIGHT, 10)] = 9
    info = {
        "label_info": [
            {"name": "kidney", "id": 1},
            {"name": "cyst", "id": 3},
            {"name": "foreground_scribbles", "id": 9},
        ]
    }
    found = ingest(saved(tmp_path, values), body.volume, info=info)
    assert not found.label_map.values[ball(RIGHT, 10)].any()
    assert {FindingKind.DROPPED, FindingKind.HOLE} <= {finding.kind for finding in found.findings}


def test_names_with_the_wrong_side_are_found(tmp_path, body):
    values = np.where(body.values == S.CYST, 3, np.where(body.values > 0, 1, 0))
    values[np.rint(GRID.to_index((0, 0, 0))).astype(int)[0] :][
        values[np.rint(GRID.to_index((0, 0, 0))).astype(int)[0] :] == 1
    ] = 2
    wrong = named(("left kidney", 1), ("right kidney", 2), ("cyst", 3), presence=ALL)
    right = named(("right kidney", 1), ("left kidney", 2), ("cyst", 3), presence=ALL)
    path = saved(tmp_path, values)
    assert {f.kind for f in ingest(path, body.volume, info=wrong).findings} == {FindingKind.SIDE_NAMES}
    assert ingest(path, body.volume, info=right).findings == ()


def test_a_flag_silences_the_number_of_kidneys_and_an_unknown_one_is_refused(tmp_path, body):
    path = saved(tmp_path, np.where(ball(LEFT, 130), 0, body.values))
    names = (("kidney", 1), ("cyst", 3))
    assert [f.kind for f in ingest(path, body.volume, info=named(*names, presence=ALL)).findings] == [
        FindingKind.KIDNEY_COUNT
    ]
    single = named(*names, presence=ALL, flags={"kidneys": "single"})
    assert ingest(path, body.volume, info=single).findings == ()
    with pytest.raises(LabelError, match="did you mean 'horseshoe'"):
        ingest(path, body.volume, info=named(*names, flags={"kidneys": "horse shoe"}))


def test_the_part_that_is_done_is_kept_with_the_version(tmp_path, store, body):
    path = saved(tmp_path, body.values)
    info = named(("kidney", 1), ("cyst", 3), presence=ALL, slices=[11, 30], boxes=[[0, 5, 0, 6, 0, 7]])
    done = put(store, body, path, info)
    assert assessed_region(done.version) == (Box((0, 0, 10), (101, 81, 30)), Box((0, 0, 0), (5, 6, 7)))
    assert assessed_region(put(store, body, path, named(("kidney", 1), ("cyst", 3))).version) == ()


@pytest.mark.parametrize("part", [{"slices": [0, 3]}, {"slices": [5, 42]}, {"slices": "all"}, {"boxes": [[1, 2, 3]]},
                                  {"boxes": [[0, 102, 0, 5, 0, 5]]}, {"boxes": [[3, 3, 0, 5, 0, 5]]}])  # fmt: skip
def test_a_part_outside_of_the_image_is_refused(tmp_path, body, part):
    with pytest.raises(InputError, match=r"done|outside"):
        ingest(saved(tmp_path, body.values), body.volume, info=named(("kidney", 1), ("cyst", 3), **part))


@pytest.mark.parametrize("ends", [[1.5, 3], [1, "x"], [1, 1e400], [None, 3]])
def test_slices_that_are_no_whole_numbers_are_refused(tmp_path, body, ends):
    with pytest.raises(InputError, match="send slices as"):
        ingest(saved(tmp_path, body.values), body.volume, info=named(("kidney", 1), ("cyst", 3), slices=ends))


def test_flags_that_cannot_be_read_never_mean_that_there_is_no_kidney(tmp_path, body):
    path, names = saved(tmp_path, body.values), (("kidney", 1), ("cyst", 3))
    for wrong in (7, "none", ["none"]):
        with pytest.raises(LabelError, match="flags is"):
            ingest(path, body.volume, info=named(*names, flags=wrong))
    assert ingest(path, body.volume, info=named(*names, flags={"kidneys": None})).stated.kidneys.value == "usual"


def refused_uploads(folder, body):
    """Name of the case, the upload, its names, the error and its words."""
    good = saved(folder, body.values).read_bytes()
    names = (("kidney", 1), ("cyst", 3))

    def file(name, content):
        (folder / name).write_bytes(content)
        return folder / name

    fractional = saved(folder, body.values * 0.5, name="fractional.nii.gz", dtype=np.float32)
    negative = saved(folder, -body.values.astype(int), name="negative.nii.gz", dtype=np.int16)
    nan = saved(folder, np.where(body.values, np.nan, 0.0), name="nan.nii.gz", dtype=np.float32)
    small = saved(folder, body.values[:-1], name="small.nii.gz")
    moved = saved(folder, body.values, name="moved.nii.gz", affine=GRID.affine + np.diag([0, 0, 0.5, 0]))
    good_path = file("good.nii.gz", good)
    return [
        (file("a.py", b"print()"), names, InputError, "not a label file"),
        (file("exe.nii.gz", b"MZ\x90\x00" + bytes(400)), names, InputError, "cannot be read as NIfTI"),
        (file("cut.nii.gz", good[: len(good) // 2]), names, InputError, "cannot be read as NIfTI|damaged"),
        (file("empty.nii.gz", b""), names, InputError, "cannot be read as NIfTI"),
        (file("x.dcm", b"not DICOM"), names, InputError, "not a label file"),
        (fractional, names, LabelError, "not whole numbers"),
        (negative, names, LabelError, "not whole numbers"),
        (nan, names, LabelError, "not whole numbers"),
        (small, names, GeometryError, "100 x 81 x 41 voxels"),
        (moved, names, GeometryError, "mm away"),
        (good_path, (("kidney", 1),), LabelError, "value 3 without a name"),
        (good_path, (("kidney", 1), ("cyst", 3), ("tumor", 3)), LabelError, "several meanings"),
        (good_path, (("kidney", 1), ("cist", 3)), LabelError, "did you mean 'cyst'"),
        (folder / "nothing.nii.gz", names, InputError, "there is no file"),
    ]  # fmt: skip


def test_what_is_refused_says_why_and_leaves_nothing_behind(tmp_path, store, body):
    before = kept(store)
    for path, names, error, words in refused_uploads(tmp_path, body):
        with pytest.raises(error, match=words):
            put(store, body, path, named(*names))
    assert kept(store) == before and store.versions("case.1 a") == ()


def test_an_unknown_image_is_refused_before_anything_is_read(tmp_path, store, body):
    with pytest.raises(InputError):
        submit(store, "../x", tmp_path / "none", volume=body.volume, note=VersionNote(author="ann"), info={})
    assert store.versions("case.1 a") == ()


def test_more_bytes_than_labels_of_the_image_can_have_are_refused_unread(tmp_path, body):
    path = tmp_path / "large.nii.gz"
    with path.open("wb") as stream:
        stream.truncate(int(np.prod(GRID.shape)) * 9 + (17 << 20))
    with pytest.raises(InputError, match="more than labels of this image can have"):
        ingest(path, body.volume, info=named(("kidney", 1)))


def test_a_header_of_another_size_is_refused_before_its_voxels_take_memory(tmp_path, body):
    header = nib.Nifti1Header()
    header.set_data_shape((3000, 3000, 3000))
    header.set_data_dtype(np.uint8)
    header.set_sform(GRID.affine, code=1)
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4)))
    with pytest.raises(GeometryError, match="3000 x 3000 x 3000 voxels"):
        ingest(path, body.volume, info=named(("kidney", 1)))


def test_a_dozen_findings_are_shown_and_the_rest_is_counted(tmp_path, body):
    values = body.values.copy()
    for x in range(16):
        values[3 + 6 * x, 3, 3] = S.CYST
    findings = ingest(saved(tmp_path, values), body.volume, info=named(("kidney", 1), ("cyst", 3))).findings
    lines = messages(tuple(findings) * 13)
    assert len(lines) == 13 and lines[-1] == f"... and {13 * len(findings) - 12} more."
