"""Labels of a MONAI Label folder become versions; nothing in that folder changes, nothing is dropped silently."""

import importlib
import json
from hashlib import sha256

import nrrd
import numpy as np
import pytest
from renalct.core.errors import InputError, OutputError
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats import nifti
from renalct.learning.store import CaseState, LabelStore, Level, Presence, StoredImage
from renalct.learning.store.monai_folder import salvaged
from renalct.learning.store.monai_import import import_monai_label
from shapes import grid_of

SHAPE = (4, 5, 6)
GRID = grid_of(SHAPE, (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
SLICER = [{"name": "kidney", "idx": 1}, {"name": "cyst", "idx": 2}]  # numbered by position: the tumor was deleted


def label_values(cyst):
    """A kidney of one slice, and a cyst with the value that is given."""
    values = np.zeros(SHAPE, np.uint8)
    values[1] = 1
    values[2, 2, 2] = cyst
    return values


class Server:
    """The folder of a MONAI Label server, filled as it fills it."""

    def __init__(self, folder):
        self.folder = folder
        self.objects = {}
        for tag in ("final", "original"):
            (folder / "labels" / tag).mkdir(parents=True)

    def image(self, name, ending=".nii.gz"):
        hu = np.full(SHAPE, -100, np.int16)
        nifti.write_volume(CTVolume(hu, GRID), self.folder / f"{name}{ending}")
        self.objects[name] = {"image": {"ext": ending, "info": {"ts": 1, "name": f"{name}{ending}"}}, "labels": {}}

    def label(self, name, values=None, *, tag="final", ending=".nii.gz", ts=10, noted=True, **info):
        path = self.folder / "labels" / tag / f"{name}{ending}"
        path.parent.mkdir(exist_ok=True)
        write(label_values(2) if values is None else values, path)
        if noted:
            info = {"label_info": SLICER, "client_id": "ann", "ts": ts, "name": path.name, **info}
            self.objects[name]["labels"][tag] = {"ext": ending, "info": info}
        return path

    def saved(self, *, keep=None):
        store = {"name": "x", "description": "", "images_dir": ".", "labels_dir": "labels", "objects": self.objects}
        text = json.dumps(store, indent=2)
        (self.folder / "datastore_v2.json").write_text(text if keep is None else text[: text.index(keep)])
        return self.folder


def write(values, path):
    """A label file as viewers write it: NIfTI, or NRRD with or without names of segments."""
    if path.name.endswith(".nii.gz"):
        nifti.write_array(values.astype(np.float32), GRID, path)
        return
    header = {
        "space": "right-anterior-superior",
        "space directions": np.diag([1.0, 1.0, 2.0]),
        "space origin": np.zeros(3),
    }
    if path.name.endswith(".seg.nrrd"):
        header |= {"Segment0_Name": "cyst", "Segment0_LabelValue": "2"}
        header |= {"Segment1_Name": "left kidney", "Segment1_LabelValue": "1"}
    nrrd.write(str(path), values, header, index_order="F")


def fingerprint(folder):
    """All that can be seen of the files in a folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(path, sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns) for path in files] + [
        path for path in sorted(folder.rglob("*")) if path.is_dir()
    ]


def voxels(store, version):
    return nifti.read_label_map(store.label_path(version)).values


@pytest.fixture
def server(tmp_path):
    (tmp_path / "server").mkdir()
    return Server(tmp_path / "server")


@pytest.fixture
def store(tmp_path):
    return LabelStore(tmp_path / "store")


def test_every_label_becomes_a_version_in_our_values_and_the_folder_is_as_it_was(server, store):
    server.image("a")
    server.image("b.1")
    first = server.label("a")
    server.label("a", tag="original", client_id=None)
    server.label("b.1", ending=".seg.nrrd", client_id="ben")
    folder = server.saved()
    before = fingerprint(folder)
    found = import_monai_label(folder, store, by="lead")
    assert fingerprint(folder) == before
    assert found.left_out == found.notices == ()
    assert [(v.image_id, v.tag, v.number) for v in found.versions] == [
        ("a", "final", 1),
        ("a", "original", 1),
        ("b.1", "final", 1),
    ]
    assert np.array_equal(voxels(store, store.final("a")), label_values(Structure.CYST))
    assert np.array_equal(voxels(store, store.final("b.1")), label_values(Structure.CYST))
    final = store.final("a")
    assert (final.note.author, store.final("b.1").note.author) == ("ann", "ben")
    assert store.final("a", tag="original").note.author == "model"
    assert store.blob_path(final.note.uploaded).read_bytes() == first.read_bytes()
    assert json.loads(final.note.info_json)["info"]["label_info"] == SLICER
    assert store.image("a").location == str(folder / "a.nii.gz")
    assert store.state("a") is CaseState.SUBMITTED


def test_a_second_import_adds_only_what_is_new(server, store):
    server.image("a")
    server.label("a")
    import_monai_label(server.saved(), store, by="lead")
    server.label("a", label_values(0), ts=20)
    again = import_monai_label(server.saved(), store, by="lead")
    assert ([v.number for v in again.versions], again.known) == ([2], 0)
    third = import_monai_label(server.saved(), store, by="lead")
    assert (third.versions, third.known) == ((), 1)
    assert [v.parent for v in store.versions("a")] == [None, 1]


def test_the_reviewers_versions_follow_the_final_label_in_time_and_its_review_is_taken_over(server, store):
    server.image("a")
    server.label("a", ts=10)
    meta = {"status": "approved", "approvedBy": "eve", "level": "hard", "comment": "well done", "editTime": 1}
    server.label("a", label_values(0), tag="version_10", ts=30, segmentationMeta=meta)
    server.label("a", label_values(1), tag="version_2", ts=30, segmentationMeta={**meta, "status": "flagged"})
    found = import_monai_label(server.saved(), store, by="lead")
    assert [json.loads(v.note.info_json)["imported_from"] for v in store.versions("a")] == [
        "final/a.nii.gz",
        "version_2/a.nii.gz",
        "version_10/a.nii.gz",
    ]
    assert np.array_equal(voxels(store, store.final("a")), label_values(0))
    review = store.review("a")
    assert (review.state, review.by, review.level, review.comment) == (
        CaseState.APPROVED,
        "eve",
        Level.HARD,
        "well done",
    )
    assert found.notices == ()


def test_a_final_label_that_was_saved_after_the_reviewers_version_is_the_newest(server, store):
    server.image("a")
    server.label("a", ts=50)
    server.label("a", label_values(0), tag="version_1", ts=30)
    import_monai_label(server.saved(), store, by="lead")
    assert [json.loads(v.note.info_json)["saved_at"] for v in store.versions("a")] == [30, 50]


def test_of_two_files_with_one_entry_the_one_that_was_replaced_comes_first(server, store):
    server.image("a")
    server.label("a", label_values(0), ending=".seg.nrrd", noted=False)
    server.label("a", ts=4_000_000_000)
    found = import_monai_label(server.saved(), store, by="lead")
    assert found.left_out == ()
    assert [v.note.author for v in store.versions("a")] == ["unknown annotator", "ann"]
    assert np.array_equal(voxels(store, store.final("a")), label_values(Structure.CYST))


def test_a_torn_store_gives_what_is_whole_of_it_and_the_rest_is_listed(server, store):
    for name in ("a", "b", "c"):
        server.image(name)
        server.label(name, ending=".seg.nrrd" if name == "c" else ".nii.gz")
    found = import_monai_label(server.saved(keep='"b": {'), store, by="lead")
    assert [v.image_id for v in found.versions] == ["a", "c"]  # c carries its names itself
    assert found.left_out == (
        ("final/b.nii.gz", "b.nii.gz holds the value 1 without a name; name every segment, and save again"),
    )
    assert found.notices == ("datastore_v2.json is cut off or damaged: what is whole of it was used",)
    names = (("kidney", 1), ("cyst", 2))
    again = import_monai_label(server.folder, store, by="lead", names=names)
    assert ([v.image_id for v in again.versions], again.known) == (["b"], 2)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00garbage", b"[1, 2]", b'{"objects": 3}'])
def test_a_store_of_garbage_does_not_hinder_labels_that_carry_their_names(server, store, content):
    server.image("a")
    server.label("a", ending=".seg.nrrd")
    folder = server.saved()
    (folder / "datastore_v2.json").write_bytes(content)
    assert [v.image_id for v in import_monai_label(folder, store, by="lead").versions] == ["a"]


def test_labels_that_cannot_be_understood_are_listed_with_their_reason(server, store):
    for name in ("a", "b", "c", "d", "e"):
        server.image(name)
    server.label("a", label_info=[{"name": "spleen", "idx": 1}, {"name": "cyst", "idx": 2}])
    server.label("b", np.zeros((3, 3, 3), np.uint8))
    (server.folder / "labels" / "final" / "c.nii.gz").write_bytes(b"no image")
    (server.folder / "labels" / "final" / "d.json").write_text("{}")
    server.label("e")
    (server.folder / "e.nii.gz").unlink()
    server.label("a", tag="my tag")
    server.objects["b"]["labels"]["original"] = {"ext": ".nii.gz", "info": {}}
    found = import_monai_label(server.saved(), store, by="lead")
    assert found.versions == ()
    reasons = dict(found.left_out)
    assert reasons.keys() == {
        "final/a.nii.gz",
        "final/b.nii.gz",
        "final/c.nii.gz",
        "final/d.json",
        "final/e.nii.gz",
        "my tag/a.nii.gz",
    }
    for label, words in {
        "final/a.nii.gz": "'spleen' is not one that renalct knows",
        "final/b.nii.gz": "has 3 x 3 x 3 voxels and its image 4 x 5 x 6",
        "final/c.nii.gz": "cannot be read as NIfTI",
        "final/d.json": "is not a label file that can be read",
        "final/e.nii.gz": "its image is not in the folder",
        "my tag/a.nii.gz": "cannot be the tag of a label",
    }.items():
        assert words in reasons[label]
    assert found.notices == ("datastore_v2.json names the label original/b.nii.gz, which is not there",)
    assert store.audit(action="import")[0].detail == "0 labels, 0 known, 6 left out"


def test_an_image_that_the_store_knows_under_another_id_keeps_it(server, store):
    server.image("a")
    server.label("a")
    store.register([StoredImage("study 7", str(server.folder / "a.nii.gz"))])
    import_monai_label(server.saved(), store, by="lead")
    assert [image.image_id for image in store.images()] == ["study 7"]
    assert store.final("study 7").number == 1


def test_what_was_said_of_presence_is_kept(server, store):
    server.image("a")
    server.label("a", presence={"cyst": "present", "angiomyolipoma": "absent", "tumor": "not assessed"})
    (version,) = import_monai_label(server.saved(), store, by="lead").versions
    assert version.presence == (
        (Structure.TUMOR, Presence.NOT_ASSESSED),
        (Structure.CYST, Presence.PRESENT),
        (Structure.ANGIOMYOLIPOMA, Presence.ABSENT),
    )


def test_a_review_that_cannot_be_taken_over_is_told_and_the_label_is_kept(server, store):
    server.image("a")
    server.label("a", segmentationMeta={"status": "superb"})
    found = import_monai_label(server.saved(), store, by="lead")
    assert found.notices[0].startswith("the review of final/a.nii.gz was not taken over: the status 'superb'")
    assert store.state("a") is CaseState.SUBMITTED


def test_a_full_disk_ends_the_import_instead_of_listing_every_label(server, store, monkeypatch):
    server.image("a")
    server.label("a")

    def full(*arguments, **named):
        raise OutputError("no space is left")

    monkeypatch.setattr(store, "commit", full)
    with pytest.raises(OutputError, match="no space"):
        import_monai_label(server.saved(), store, by="lead")


def test_a_folder_of_something_else_is_refused(tmp_path, store):
    with pytest.raises(InputError, match="is no folder of a MONAI Label server"):
        import_monai_label(tmp_path / "elsewhere", store, by="lead")


def test_a_folder_written_by_monai_label_itself_is_imported(server, store, tmp_path):
    importlib.import_module("renalct.models")  # imports MONAI in the one order that leaves MONAI Deploy out
    local = pytest.importorskip("monailabel.datastore.local", reason="needs monailabel: pip install monailabel")
    server.image("scan one")
    (server.folder / "labels").joinpath("final").rmdir()
    theirs = local.LocalDatastore(str(server.folder))
    upload = tmp_path / "upload.nii.gz"
    for cyst, client in ((0, "ann"), (2, "ben")):
        write(label_values(cyst), upload)
        theirs.save_label("scan one", str(upload), "final", {"label_info": SLICER, "client_id": client})
    found = import_monai_label(server.folder, store, by="lead")
    assert [(v.image_id, v.note.author) for v in found.versions] == [("scan one", "ben")]  # it keeps the last alone
    assert found.left_out == found.notices == ()
    assert np.array_equal(voxels(store, found.versions[0]), label_values(Structure.CYST))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": {"b": "}]\\""}, "c', {"a": {"b": '}]"'}}),
        ('{"a": [1, {"b": 2}, 3', {"a": [1, {"b": 2}]}),
        ('{"a": 1, "b": {}}\n}garbage', {"a": 1, "b": {}}),
    ],
)
def test_what_is_whole_of_a_torn_json_is_read(text, value):
    assert salvaged(text) == value


def test_a_label_map_of_ours_is_imported_as_it_is(server, store):
    server.image("a")
    path = server.label("a", label_info=[{"name": s.title, "idx": int(s)} for s in Structure if s])
    nifti.write_label_map(LabelMap(label_values(3), GRID), path)
    (version,) = import_monai_label(server.saved(), store, by="lead").versions
    assert store.label_path(version).read_bytes() == path.read_bytes()
