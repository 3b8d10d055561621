"""Labels in a store are immutable, found again as they were committed, and never overwritten."""

import errno
import os
import pickle
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from renalct.core.errors import InputError, OutputError
from renalct.core.labels import Structure
from renalct.learning.store import LabelStore, Presence, StoredImage, VersionNote, connections, schema
from renalct.learning.store.names import safe_file_name
from store_cases import SUFFIX, Clock, commit, made_store

ODD_IDS = [
    "scan.nii.gz_v2", "a.b.c", "with spaces ", "1.2.840.113619.2.55", "Niere_Größe", "腎臓", "x" * 512, "label.json",
    "case%20one", "sub/case", "-rf", "a'b\"c;--", "CON", "....", ".hidden",
]  # fmt: skip
BAD_IDS = [
    "", " ", "../x", "a/../../x", "/etc/passwd", "\\\\share\\x", "..", ".", "a\0b", "a\nb", "x" * 513, "..\\x",
    "\ud800",
]  # fmt: skip


NOT_UPLOADED = VersionNote("ann", uploaded="0" * 64)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A store for tests of what is refused: it stays as it is."""
    return made_store(tmp_path_factory.mktemp("shared") / "store")


def test_two_saves_are_two_versions_and_both_can_be_read(tmp_path):
    store = made_store(tmp_path)
    first, second = commit(store, content=b"one"), commit(store, content=b"two", by="ben")
    assert [version.number for version in store.versions("case 0")] == [1, 2]
    assert store.final("case 0") == second
    assert store.label_path(first).read_bytes() == b"one"
    assert store.label_path(second).read_bytes() == b"two"


def test_the_file_of_a_label_ends_as_its_version_says_and_cannot_be_written(tmp_path):
    store = made_store(tmp_path)
    path = store.label_path(commit(store))
    assert path.name.endswith(".nii.gz")
    assert path.stat().st_mode & 0o222 == 0
    assert store.label_path(store.final("case 0")) == path


def test_a_version_keeps_all_that_was_said_of_it(tmp_path):
    store = made_store(tmp_path, clock=Clock(1234.5))
    upload = store.put_blob(b"the upload as it came")
    note = VersionNote("ann", "3D Slicer", "f" * 64, "hard case", 12.5, '{"a": 1}', upload)
    stated = ((Structure.CYST, Presence.ABSENT), (Structure.KIDNEY, Presence.PRESENT))
    first = commit(store)
    made = store.commit("case 0", b"x", suffix=SUFFIX, note=note, presence=stated, parent=first.number)
    assert store.version("case 0", 2) == made
    assert (made.note, made.parent, made.committed_at, made.sha256) == (note, 1, 1234.5, sha256(b"x").hexdigest())
    assert made.presence == ((Structure.KIDNEY, Presence.PRESENT), (Structure.CYST, Presence.ABSENT))
    assert store.blob_path(upload).read_bytes() == b"the upload as it came"


def test_an_old_version_is_restored_as_a_new_one(tmp_path):
    store = made_store(tmp_path)
    commit(store, content=b"one", presence=[(Structure.TUMOR, Presence.NOT_ASSESSED)])
    commit(store, content=b"two")
    restored = store.restore("case 0", 1, by="lead")
    assert (restored.number, restored.parent, restored.note.author) == (3, 1, "lead")
    assert restored.presence == ((Structure.TUMOR, Presence.NOT_ASSESSED),)
    assert store.label_path(store.final("case 0")).read_bytes() == b"one"
    assert [store.restore("case 0", number, by="lead").number for number in (1, 3)] == [3, 4]


def test_submitting_twice_is_acknowledged_twice_and_kept_once(tmp_path):
    store = made_store(tmp_path)
    assert commit(store) == commit(store)
    assert [entry.action for entry in store.audit(image_id="case 0")] == ["commit", "commit again"]


@pytest.mark.parametrize(
    "other",
    [{"by": "ben"}, {"content": b"other"}, {"presence": [(Structure.CYST, Presence.ABSENT)]}, {"parent": 1}],
    ids=lambda other: next(iter(other)),
)
def test_a_label_that_differs_in_anything_is_another_version(tmp_path, other):
    store = made_store(tmp_path)
    commit(store)
    assert commit(store, **other).number == 2


def test_the_same_label_is_a_new_version_when_another_came_between(tmp_path):
    store = made_store(tmp_path)
    contents = [b"one", b"two", b"one"]
    assert [commit(store, content=content).number for content in contents] == [1, 2, 3]


def test_tags_count_their_versions_apart(tmp_path):
    store = made_store(tmp_path)
    commit(store, content=b"pre-label", by="model", tag="original")
    commit(store, content=b"label")
    assert store.tags("case 0") == ("final", "original")
    assert store.final("case 0", tag="original").number == store.final("case 0").number == 1
    assert store.final("case 1") is None
    assert [version.image_id for version in store.finals()] == ["case 0"]


def test_a_file_is_committed_as_well_as_bytes(tmp_path):
    store = made_store(tmp_path / "store")
    (tmp_path / "label.nii.gz").write_bytes(b"from a file")
    version = commit(store, content=tmp_path / "label.nii.gz")
    assert store.label_path(version).read_bytes() == b"from a file"
    with pytest.raises(InputError, match=r"absent\.nii\.gz cannot be read"):
        commit(store, content=tmp_path / "absent.nii.gz")


def test_the_database_refuses_to_change_or_remove_a_version_or_a_line_of_the_log(tmp_path):
    store = made_store(tmp_path)
    commit(store)
    with sqlite3.connect(tmp_path / "labels.sqlite3") as db:
        for change in ("DELETE FROM versions", "UPDATE versions SET author = ''", "DELETE FROM audit"):
            with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
                db.execute(change)
    db.close()


def test_odd_ids_are_kept_as_they_are(tmp_path):
    store = LabelStore(tmp_path)
    store.register(StoredImage(image_id, "x.nii.gz") for image_id in ODD_IDS)
    assert [image.image_id for image in store.images()] == ODD_IDS
    for image_id in ODD_IDS:
        version = commit(store, image_id, content=image_id.encode())
        assert store.label_path(store.final(image_id)).read_bytes() == image_id.encode()
        assert store.lease("ben", [image_id], seconds=1, reads=2).image_id == version.image_id == image_id


@pytest.mark.parametrize("image_id", BAD_IDS)
def test_an_id_that_is_no_name_is_refused_with_a_sentence(shared, image_id):
    with pytest.raises(InputError, match="the image id"):
        StoredImage(image_id, "x.nii.gz")
    for use in (commit, LabelStore.image, LabelStore.state, lambda s, i: s.lease("ann", [i], seconds=1)):
        with pytest.raises(InputError, match="the image id"):
            use(shared, image_id)
    assert {path.name for path in shared.folder.parent.iterdir()} == {"store"}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=300), min_size=2, max_size=2, unique=True))
def test_export_names_are_safe_and_never_shared(ids):
    names = [safe_file_name(image_id, ".final.1.nii.gz") for image_id in ids]
    assert len(set(names)) == 2
    for name in names:
        assert os.path.basename(name) == name
        assert not name.startswith(".")
        assert name.endswith(".final.1.nii.gz")
        assert len(name.encode()) <= 200


def test_an_unknown_image_leaves_nothing_behind(tmp_path):
    store = made_store(tmp_path)
    with pytest.raises(InputError, match="no image 'case 9'"):
        commit(store, "case 9")
    assert list((tmp_path / "blobs").iterdir()) == list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize("tag", ["", "a/b", "../x", "a b", "final\n", "-x", "x" * 65, "é"])
def test_a_wrong_tag_is_refused_with_a_sentence(shared, tag):
    with pytest.raises(InputError, match="cannot be the tag of a label; use a plain word"):
        commit(shared, tag=tag)


@pytest.mark.parametrize("suffix", ["", "nii", "./x", ".nii/../x", "." + "x" * 20, ".a.b.c.d"])
def test_a_wrong_suffix_is_refused_with_a_sentence(shared, suffix):
    with pytest.raises(InputError, match="cannot be the ending of a label file"):
        shared.commit("case 0", b"x", suffix=suffix, note=VersionNote("ann"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda s: commit(s, parent=1), "no version 1 to be the parent"),
        (lambda s: commit(s, by=" "), "no author"),
        (lambda s: commit(s, presence=[(Structure.CYST, Presence.ABSENT)] * 2), "stated twice"),
        (lambda s: commit(s, presence=[(Structure.BACKGROUND, Presence.ABSENT)]), "of the background"),
        (lambda s: s.commit("case 0", b"", suffix=SUFFIX, note=NOT_UPLOADED), "upload of a label"),
        (lambda s: VersionNote("a", info_json="{"), "is no JSON"),
        (lambda s: VersionNote("a", seconds=-1.0), "time spent on a label is -1.0 s"),
        (lambda s: VersionNote("a", uploaded="abc"), "64 hexadecimal digits"),
        (lambda s: s.version("case 0", 7), "has no version 7"),
        (lambda s: s.blob_path("../../x"), "64 hexadecimal digits"),
        (lambda s: s.blob_path("0" * 64), "cannot be read"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_sentence_and_changes_nothing(shared, make, words):
    before = shared.audit()
    with pytest.raises(InputError, match=words):
        make(shared)
    assert shared.versions("case 0") == ()
    assert shared.audit() == before


def test_a_damaged_file_is_told_and_repaired_by_the_same_label(tmp_path):
    store = made_store(tmp_path)
    version = commit(store)
    assert store.damaged() == ()
    place = store.blob_path(version.sha256)
    place.chmod(0o644)
    place.write_bytes(b"lapel")
    for read in (lambda: store.label_path(version), lambda: store.blob_path(version.sha256)):
        with pytest.raises(InputError, match="is damaged: its content has the sha256"):
            read()
    assert len(store.damaged()) == 1
    commit(store)
    assert store.damaged() == ()
    assert store.label_path(version).read_bytes() == b"label"


def test_a_file_appears_under_its_name_when_it_is_whole_and_not_before(tmp_path, monkeypatch):
    store = made_store(tmp_path)

    def torn(source, target):
        assert source.read_bytes() == b"label"
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", torn)
    with pytest.raises(OutputError, match="cannot be written"):
        commit(store)
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_missing_file_is_told(tmp_path):
    store = made_store(tmp_path)
    version = commit(store)
    store.blob_path(version.sha256).unlink()
    with pytest.raises(InputError, match="cannot be read"):
        store.label_path(version)
    assert len(store.damaged()) == 1


def test_tidying_removes_what_no_version_refers_to_and_nothing_else(tmp_path):
    store = made_store(tmp_path)
    upload = store.put_blob(b"upload")
    version = store.commit("case 0", b"label", suffix=SUFFIX, note=VersionNote("ann", uploaded=upload))
    store.label_path(version)
    orphan = store.put_blob(b"orphan")
    (tmp_path / "incoming" / "cut-off.part").write_bytes(b"half")
    assert store.tidy() == 0  # all of it is younger than a day
    assert store.tidy(older_than_s=-1) == 2
    assert store.damaged() == ()
    assert store.label_path(version).read_bytes() == b"label"
    with pytest.raises(InputError, match="cannot be read"):
        store.blob_path(orphan)


def test_a_file_that_a_clean_up_takes_in_the_middle_of_a_commit_is_written_again(tmp_path, monkeypatch):
    store = made_store(tmp_path)
    put = store._blobs.put
    taken = []

    def put_and_lose(content):
        digest = put(content)
        if not taken:
            taken.append(store.tidy(older_than_s=-1))
        return digest

    monkeypatch.setattr(store._blobs, "put", put_and_lose)
    assert store.label_path(commit(store)).read_bytes() == b"label"
    assert taken == [1]


def test_every_file_and_folder_is_on_the_disk_before_the_row_and_the_row_before_the_answer(tmp_path, monkeypatch):
    steps = []
    real = os.fsync

    def seen(handle):
        steps.append(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path))
        real(handle)

    class Traced(sqlite3.Connection):
        def execute(self, statement, *values):
            if statement in ("BEGIN IMMEDIATE", "COMMIT"):
                steps.append(statement)
            return super().execute(statement, *values)

    def connect(*arguments, **named):
        return real_connect(*arguments, factory=Traced, **named)

    store = made_store(tmp_path)
    store.close()
    real_connect = sqlite3.connect
    monkeypatch.setattr(connections.sqlite3, "connect", connect)
    monkeypatch.setattr(os, "fsync", seen)
    digest = commit(store).sha256
    assert steps[0].startswith("incoming/")
    assert set(steps[1:3]) == {f"blobs/{digest[:2]}", "blobs"}
    assert steps[3:] == ["BEGIN IMMEDIATE", "COMMIT"]
    steps.clear()
    commit(store, by="ben")  # the same file, which another process may have written and not yet synchronized
    assert steps == [steps[0], f"blobs/{digest[:2]}/{digest}", f"blobs/{digest[:2]}", "BEGIN IMMEDIATE", "COMMIT"]


def test_the_database_writes_ahead_and_waits_for_the_disk_at_every_commit(tmp_path):
    store = made_store(tmp_path)
    with store._database.reading() as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_a_store_opens_again_with_all_that_it_had(tmp_path):
    version = commit(made_store(tmp_path))
    again = LabelStore(tmp_path)
    assert again.final("case 0") == version
    assert pickle.loads(pickle.dumps(again)).versions("case 0") == (version,)
    again.close()
    assert again.final("case 0") == version


def test_a_new_store_is_opened_by_many_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: LabelStore(tmp_path / "store"), range(8)))
    stores[0].register([StoredImage("case 0", "x.nii.gz")])
    assert [store.counts().total for store in stores] == [1] * 8


def test_many_threads_commit_at_once_and_all_is_kept(tmp_path):
    store = made_store(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: commit(store, content=b"%d" % n), range(40)))
    assert sorted(version.number for version in made) == list(range(1, 41))
    assert {store.label_path(v).read_bytes() for v in store.versions("case 0")} == {b"%d" % n for n in range(40)}


def test_an_older_schema_becomes_the_newest_and_a_failed_step_leaves_it_as_it_was(tmp_path, monkeypatch):
    commit(made_store(tmp_path))
    broken = (*schema.MIGRATIONS, ("CREATE TABLE notes (x)", "CREATE TABLE versions (x)"))
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(OutputError, match="already exists"):
        LabelStore(tmp_path)
    monkeypatch.setattr(schema, "MIGRATIONS", (*broken[:-1], ("CREATE TABLE notes (x)",)))
    assert LabelStore(tmp_path).final("case 0").number == 1
    monkeypatch.undo()
    with pytest.raises(InputError, match="schema version 2 and this renalct knows 1; update renalct"):
        LabelStore(tmp_path)


def test_a_database_that_is_none_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "labels.sqlite3").write_bytes(b"not a database" * 1000)
    with pytest.raises(OutputError, match="is damaged"):
        LabelStore(tmp_path)


def test_a_registered_image_is_brought_up_to_date_and_keeps_its_labels(tmp_path):
    store, other = made_store(tmp_path), LabelStore(tmp_path)
    commit(store)
    moved = replace(other.image("case 0"), location="elsewhere.nii.gz", sha256="f" * 64)
    assert other.images()[0] != moved
    store.register([moved])
    assert other.images()[0] == other.image("case 0") == moved
    assert other.final("case 0").number == 1
    assert [entry.detail for entry in store.audit(action="image changed")] == [f"sha256 {'0' * 64} became {'f' * 64}"]
    assert len(store.images()) == 3


def test_the_store_is_imported_without_torch_and_numpy_and_monai():
    code = "import renalct.learning.store, sys; print([m for m in ('torch', 'monai', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
