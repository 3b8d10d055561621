"""Answers of a release for many images: what is kept, what is left as it is, and what an image that is none does."""

from types import SimpleNamespace

import numpy as np
import pytest
from renalct.core.errors import InputError, OutputError
from renalct.core.grid import Grid
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.nifti import read_label_map, write_array, write_volume
from renalct.learning.case_desk import CaseDesk
from renalct.learning.image_source import ImageFolder
from renalct.learning.pre_labels import KEPT, THERE, PreLabel, Wanted, pre_label, wanted_of
from renalct.learning.store import ORIGINAL, LabelStore

GRID = Grid((4, 4, 4), np.eye(4))
DIGESTS = {1: "1" * 64, 2: "2" * 64}


class Models:
    """Releases that paint every voxel with their number; reads the image first, as real ones do."""

    def __init__(self, number):
        self.number, self.asked = number, []

    @property
    def digest(self):
        return DIGESTS[self.number]

    def answer(self, subject):
        subject.read()
        self.asked.append(subject.key)
        values = np.full(GRID.shape, self.number, np.uint8)
        report = SimpleNamespace(provenance=SimpleNamespace(release_digest=self.digest))
        return SimpleNamespace(label_map=LabelMap(values, GRID), report=report)


@pytest.fixture
def desk(tmp_path):
    """Three images, of which the one in the middle holds no CT numbers."""
    for name in ("a 1.5", "ö"):
        write_volume(CTVolume(np.full(GRID.shape, -50, np.int16), GRID), tmp_path / f"{name}.nii.gz")
    write_array(np.full(GRID.shape, 7, np.float32), GRID, tmp_path / "no ct.nii.gz")
    return CaseDesk(LabelStore(tmp_path / "renalct"), ImageFolder(tmp_path, cache=tmp_path / "renalct" / "images"))


def answered(desk, models, **wanted):
    heard = []
    done = pre_label(desk, models, Wanted(**wanted), tell=lambda *told: heard.append(told))
    assert heard == [(each, n, len(done)) for n, each in enumerate(done, start=1)]
    return done


def test_an_image_that_is_no_ct_is_told_and_the_others_are_answered(desk):
    first, second, third = answered(desk, Models(1))
    assert (first, third) == (PreLabel("a 1.5", KEPT), PreLabel("ö", KEPT))
    assert second.image_id == "no ct" and "not CT numbers" in second.outcome and not second.there
    kept = desk.store.final("ö", tag=ORIGINAL)
    assert kept.note.model == DIGESTS[1] and (read_label_map(desk.store.label_path(kept)).values == 1).all()
    assert desk.labelled() == [], "a model's answer is no label"


def test_a_batch_that_was_stopped_goes_on_where_it_was(desk):
    answered(desk, Models(1), images=("ö",))
    models = Models(1)
    assert [each.outcome for each in answered(desk, models, images=("ö", "a 1.5"))] == [KEPT, THERE]
    assert models.asked == ["a 1.5"]
    assert desk.store.final("ö", tag=ORIGINAL).number == 1


def test_another_release_answers_anew(desk):
    answered(desk, Models(1), images=("ö",))
    assert answered(desk, Models(2), images=("ö",)) == (PreLabel("ö", KEPT),)
    assert desk.store.final("ö", tag=ORIGINAL).note.model == DIGESTS[2]


def test_no_more_images_are_answered_than_are_wanted(desk):
    assert [each.image_id for each in answered(desk, Models(1), most=1)] == ["a 1.5"]


def test_a_full_disk_ends_the_batch(desk, monkeypatch):
    def full(*given, **named):
        raise OutputError("no space is left")

    monkeypatch.setattr(desk, "keep_answer", full)
    with pytest.raises(OutputError, match="no space is left"):
        answered(desk, Models(1))


def test_what_a_request_leaves_out_is_what_monai_label_fills_in():
    from monailabel.interfaces.datastore import DefaultLabelTag
    from monailabel.interfaces.tasks.batch_infer import BatchInferImageType

    stock = {"images": BatchInferImageType.IMAGES_UNLABELED, "label_tag": DefaultLabelTag.ORIGINAL, "max_batch_size": 0}
    assert wanted_of(stock) == Wanted("unlabeled", ORIGINAL, 0)
    assert wanted_of({}) == Wanted("all", ORIGINAL, 0)
    assert wanted_of({"images": ["b", "a"], "max_batch_size": 1}) == Wanted(("b", "a"), ORIGINAL, 1)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"images": "some"}, "it is one of all, labeled, unlabeled"),
        ({"images": 7}, "images is 7"),
        ({"images": ["a", 7]}, "a list of ids"),
        ({"max_batch_size": "many"}, "a whole number"),
        ({"max_batch_size": True}, "a whole number"),
        ({"max_batch_size": -1}, "0 for all images, or more"),
        ({"label_tag": "final"}, "a model's answer is no 'final' label"),
        ({"label_tag": "version_2"}, "a model's answer is no 'version_2' label"),
        ({"label_tag": "../x"}, "cannot be the tag"),
    ],
)
def test_a_batch_that_cannot_be_is_refused_before_it_begins(request_, words):
    with pytest.raises(InputError, match=words):
        wanted_of(request_)


def test_an_image_that_is_not_there_is_refused_before_one_is_answered(desk):
    models = Models(1)
    with pytest.raises(InputError, match="there is no image of that name"):
        answered(desk, models, images=("ö", "nobody"))
    assert models.asked == []
