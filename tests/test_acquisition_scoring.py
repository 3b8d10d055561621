import numpy as np
import pytest
from renalct.core.errors import InputError
from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.formats.nifti import write_label_map
from renalct.learning.acquisition.features import descriptor
from renalct.learning.acquisition.scoring import (
    NO_RELEASE,
    Scorer,
    kept_scores,
    label_agreement,
    missing_scores,
    model_key,
    score_image,
    score_missing,
)
from renalct.learning.acquisition.uncertainty import MOST_LIFT
from renalct.learning.acquisition.why import ImageScore, Place, Why
from renalct.learning.store import LabelStore, StoredImage, VersionNote
from scripted_networks import (
    CYST_AT,
    LEFT,
    SHAPE,
    TUMOR_AT,
    LeftOfImage,
    labels_of_two_kidneys,
    no_kidneys,
    plain_network,
    scripted,
    two_kidneys,
)
from shapes import grid_of


def box_of(slices):
    return Box(tuple(s.start for s in slices), tuple(s.stop for s in slices))


def test_a_sure_answer_scores_next_to_nothing_and_an_unsure_one_more():
    sure, unsure = (
        score_image(two_kidneys(), Scorer.ENTROPY, cascade=scripted(plain_network(sharp=sharp)))
        for sharp in (4000.0, 20.0)
    )
    assert sure.value < 0.001 < 0.05 < unsure.value


def test_a_score_says_where_it_is_and_of_which_class():
    cascade = scripted(LeftOfImage(plain_network()))
    score = score_image(two_kidneys(), Scorer.DISAGREEMENT, cascade=cascade)
    assert score.why.score == score.value > 0.05
    assert score.why.structure in ("tumor", "cyst")
    assert score.why.place.box.overlaps(box_of(TUMOR_AT)) or score.why.place.box.overlaps(box_of(CYST_AT))
    assert "differ" in score.why.sentence
    assert len(score.whys) == 4 and [why.structure for why in score.whys[1:]] == ["kidney", "tumor", "cyst"]


def test_the_volumes_are_those_that_the_release_sees():
    score = score_image(two_kidneys(), Scorer.ENTROPY, cascade=scripted())
    tumor, cyst = 6 * 6 * 4 * 0.016, 4 * 4 * 2 * 0.016
    assert score.ml_by_class == pytest.approx((2 * 12 * 14 * 16 * 0.016 - tumor - cyst, tumor, cyst), rel=1e-3)


def test_an_image_without_a_kidney_has_the_highest_score_and_says_so():
    score = score_image(no_kidneys(), Scorer.ENTROPY, cascade=scripted())
    assert score.value == MOST_LIFT and "finds no kidney" in score.why.sentence and score.why.place is None
    assert score.ml_by_class == (0.0, 0.0, 0.0)


def test_a_score_needs_its_release_and_an_agreement_its_label():
    with pytest.raises(InputError, match="cold_start or true_random"):
        score_image(two_kidneys(), Scorer.BALD)
    with pytest.raises(InputError, match="needs the label"):
        score_image(two_kidneys(), Scorer.AGREEMENT, cascade=scripted())


def test_a_descriptor_needs_no_release_and_tells_an_enhanced_kidney_from_none():
    with_kidneys = score_image(two_kidneys(), Scorer.DESCRIPTOR)
    assert len(with_kidneys.features) == 15
    assert descriptor(two_kidneys()).tolist() != descriptor(no_kidneys()).tolist()
    assert with_kidneys.features == score_image(two_kidneys(), Scorer.DESCRIPTOR).features


def test_a_label_like_the_answer_agrees_and_a_missing_mass_does_not():
    cascade = scripted()
    same = label_agreement(two_kidneys(), labels_of_two_kidneys(), cascade)
    assert same.value == pytest.approx(0.0, abs=1e-6)
    values = labels_of_two_kidneys().values.copy()
    values[CYST_AT] = Structure.KIDNEY
    missing = label_agreement(two_kidneys(), LabelMap(values, labels_of_two_kidneys().grid), cascade)
    assert missing.value == 1.0 and missing.why.structure == "cyst"
    assert missing.why.place.box == box_of(CYST_AT)
    assert missing.by_class[1] == 0.0


def test_a_place_is_in_voxels_and_in_the_patient():
    place = Place.of(Box((2, 3, 4), (6, 5, 5)), grid_of((10, 10, 10), (2.0, 2.0, 5.0), (-10.0, 0.0, 100.0)))
    # voxels 2 to 5, 3 to 4 and 4: centres at -10 + 2 * 3.5, 2 * 3.5, 100 + 5 * 4
    assert (place.center_mm, place.size_mm) == ((-3.0, 7.0, 120.0), (8.0, 4.0, 5.0))


def test_scores_and_reasons_survive_json():
    score = score_image(two_kidneys(), Scorer.ENTROPY, cascade=scripted())
    assert ImageScore.from_text(score.to_text()) == score
    assert Why.from_text(score.why.to_text()) == score.why
    assert score.to_text().startswith('{"schema_version": 1')


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 9}', '{"schema_version": 1, "vale": 1}'])
def test_a_text_that_is_no_score_is_refused(text):
    with pytest.raises(InputError, match="score"):
        ImageScore.from_text(text)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="finite"):
        Why(float("nan"))
    with pytest.raises(InputError, match="finite"):
        ImageScore(0.0, features=(float("inf"),))


@pytest.fixture
def store(tmp_path):
    found = LabelStore(tmp_path / "store")
    found.register([StoredImage(name, f"{name}.nii.gz", sha256=digit * 64) for name, digit in (("a", "a"), ("b", "b"))])
    yield found
    found.close()


def test_scores_are_computed_once_per_release_and_image_content(store):
    cascade, read = scripted(), []

    def image(stored):
        read.append(stored.image_id)
        return two_kidneys()

    assert [i.image_id for i in score_missing(store, Scorer.ENTROPY, image, cascade=cascade)] == ["a", "b"]
    assert list(score_missing(store, Scorer.ENTROPY, image, cascade=cascade)) == [] and read == ["a", "b"]
    kept = kept_scores(store, Scorer.ENTROPY, cascade.release.digest)
    assert kept["a"] == score_image(two_kidneys(), Scorer.ENTROPY, cascade=cascade)
    assert len(missing_scores(store, Scorer.ENTROPY, "another release")) == 2
    store.register([StoredImage("a", "a.nii.gz", sha256="c" * 64)])  # the image was replaced
    assert [i.image_id for i in missing_scores(store, Scorer.ENTROPY, cascade.release.digest)] == ["a"]


def test_scoring_that_is_stopped_keeps_what_is_done(store):
    cascade = scripted()
    next(iter(score_missing(store, Scorer.ENTROPY, lambda _: two_kidneys(), cascade=cascade)))
    assert [i.image_id for i in missing_scores(store, Scorer.ENTROPY, cascade.release.digest)] == ["b"]


def test_descriptors_are_shared_by_all_releases(store):
    list(score_missing(store, Scorer.DESCRIPTOR, lambda _: two_kidneys()))
    assert set(kept_scores(store, Scorer.DESCRIPTOR, "whatever release")) == {"a", "b"}
    assert model_key(Scorer.DESCRIPTOR, "digest") == NO_RELEASE and model_key(Scorer.BALD, "digest") == "digest"


def test_an_agreement_is_of_the_last_label(store, tmp_path):
    cascade, digest = scripted(), scripted().release.digest
    path = tmp_path / "label.nii.gz"

    def commit(values):
        write_label_map(LabelMap(values, labels_of_two_kidneys().grid), path)
        store.commit("a", path, suffix=".nii.gz", note=VersionNote("ann"))

    def scored():
        return [i.image_id for i in score_missing(store, Scorer.AGREEMENT, lambda _: two_kidneys(), cascade=cascade)]

    assert missing_scores(store, Scorer.AGREEMENT, digest) == ()  # nothing is labelled
    commit(labels_of_two_kidneys().values)
    assert scored() == ["a"] and kept_scores(store, Scorer.AGREEMENT, digest)["a"].value == pytest.approx(0.0, abs=1e-6)
    without = np.zeros(SHAPE, np.uint8)
    without[LEFT] = Structure.KIDNEY
    commit(without)
    assert kept_scores(store, Scorer.AGREEMENT, digest) == {}  # that was another label
    assert scored() == ["a"] and kept_scores(store, Scorer.AGREEMENT, digest)["a"].value == 1.0
