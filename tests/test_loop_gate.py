"""The promotion gate: every verdict by numbers made by hand, then a planted worse and a planted better release."""

import json

import pytest
from made_loop import damaged, good_release, made_registry, made_store
from renalct.core.errors import InputError
from renalct.learning.image_source import InFolder
from renalct.learning.loop.candidate_version import Judge, judge_release
from renalct.learning.loop.frozen import FreezeSettings, freeze
from renalct.learning.loop.gate import Compared, Comparison, GateSettings, Verdict, decide
from renalct.learning.loop.gate_scores import FALSE_MASSES, SENSITIVITY, CaseScore, mean_numbers, score_release
from renalct.learning.loop.labelled_cases import case_files_of, labelled_cases
from renalct.learning.loop.registry import Registry
from renalct.models.release import load_release, save_release


def score(number, *, kidney=0.95, tumor=0.6, cyst=None, whole=0.95, mass=0.6, counts=(1, 1, 0), patient=None):
    """One case with a tumor, of its own patient; `counts` are masses, found ones and false ones."""
    classes = [
        (name, value) for name, value in (("kidney", kidney), ("tumor", tumor), ("cyst", cyst)) if value is not None
    ]
    regions = (("kidney and mass Dice", whole), ("mass Dice", mass))
    return CaseScore(f"ct {number}", patient or f"p{number}", tuple(classes), regions, *counts)


def decided(before, after, **settings):
    return decide(
        Compared("b" * 64, "the candidate", tuple(after)),
        Compared("a" * 64, "v0001", tuple(before)),
        frozen_sha256="f" * 64,
        settings=GateSettings(**settings),
    )


def named(decision, name):
    return next(each for each in decision.comparisons if each.name == name)


def test_a_tumor_that_lost_six_hundredths_everywhere_is_worse_and_the_sentence_says_so():
    before = [score(n, tumor=0.61) for n in range(12)]
    after = [score(n, tumor=0.61 - 0.06) for n in range(12)]
    decision = decided(before, after)
    assert not decision.accepted
    assert decision.reason == "tumor: 0.61 -> 0.55 [-0.06 to -0.06], n = 12: worse"


def test_what_is_better_in_one_class_and_worse_in_none_is_accepted():
    before = [score(n, tumor=0.5) for n in range(12)]
    after = [score(n, tumor=0.6) for n in range(12)]
    decision = decided(before, after)
    assert decision.accepted and decision.reason == "tumor: 0.50 -> 0.60 [+0.10 to +0.10], n = 12: better"
    assert named(decision, "kidney").verdict is Verdict.NOT_WORSE


def test_better_in_tumors_does_not_make_up_for_worse_cysts():
    before = [score(n, tumor=0.5, cyst=0.7) for n in range(12)]
    after = [score(n, tumor=0.9, cyst=0.6) for n in range(12)]
    decision = decided(before, after)
    assert named(decision, "tumor").verdict is Verdict.BETTER
    assert not decision.accepted and decision.reason.startswith("cyst: 0.70 -> 0.60")


def test_the_same_again_is_not_published():
    scores = [score(n) for n in range(12)]
    decision = decided(scores, scores)
    assert not decision.accepted and decision.reason == "it is not better in any class"


def test_a_small_loss_within_the_margin_is_not_worse():
    decision = decided([score(n, tumor=0.60) for n in range(9)], [score(n, tumor=0.58) for n in range(9)])
    assert named(decision, "tumor").verdict is Verdict.NOT_WORSE


def test_a_difference_that_may_be_a_large_loss_is_unclear_and_refused():
    after = [score(n, tumor=0.6 + (0.3 if n % 2 else -0.3)) for n in range(6)]
    decision = decided([score(n, tumor=0.6) for n in range(6)], after)
    tumor = named(decision, "tumor")
    assert tumor.verdict is Verdict.UNCLEAR and tumor.low < -0.05 < tumor.high and tumor.after == pytest.approx(0.6)
    assert not decision.accepted and "unclear, a loss beyond the margin cannot be excluded" in decision.reason


def test_patients_are_drawn_and_not_their_scans():
    """Ten scans of one patient got better, one scan each of two others worse: three patients prove nothing."""
    before = [score(n, patient="p0" if n < 10 else f"p{n}") for n in range(12)]
    after = [score(n, tumor=0.7 if n < 10 else 0.5, patient="p0" if n < 10 else f"p{n}") for n in range(12)]
    tumor = named(decided(before, after), "tumor")
    assert tumor.n == 12 and tumor.patients == 3 and tumor.low == pytest.approx(-0.1)
    assert tumor.verdict is Verdict.UNCLEAR


def test_a_class_of_two_patients_is_compared_plainly_and_never_better():
    before = [score(n, cyst=0.5 if n < 2 else None) for n in range(9)]
    better = named(decided(before, [score(n, cyst=0.9 if n < 2 else None) for n in range(9)]), "cyst")
    assert better.verdict is Verdict.NOT_WORSE and better.low == better.high == pytest.approx(0.4)
    worse = decided(before, [score(n, tumor=0.9, cyst=0.4 if n < 2 else None) for n in range(9)])
    assert named(worse, "cyst").verdict is Verdict.WORSE and not worse.accepted


def test_no_case_may_lose_its_kidney_even_when_the_mean_is_better():
    before = [score(n, tumor=0.5) for n in range(20)]
    after = [score(n, tumor=0.7, whole=0.95 if n else 0.80) for n in range(20)]
    decision = decided(before, after)
    assert not decision.accepted and [harm.image_id for harm in decision.harms] == ["ct 0"]
    assert decision.reason == (
        "1 times a case is harmed, the first ct 0: kidney and mass Dice 0.95 -> 0.80; no case may lose more than 0.10"
    )
    assert decided(before, after, kidney_harm=0.2).accepted


def test_a_lost_mass_is_harm():
    before = [score(n, tumor=0.5, mass=0.5) for n in range(20)]
    after = [score(n, tumor=0.7, mass=0.7 if n else 0.0) for n in range(20)]
    assert [harm.what for harm in decided(before, after).harms] == ["mass Dice"]


def test_sensitivity_is_of_all_masses_and_fewer_false_masses_are_better():
    before = [score(n, counts=(2, 1, 3)) for n in range(10)]
    after = [score(n, counts=(2, 2, 1)) for n in range(10)]
    decision = decided(before, after)
    found, false = named(decision, SENSITIVITY), named(decision, FALSE_MASSES)
    assert (found.before, found.after, found.verdict) == (0.5, 1.0, Verdict.BETTER)
    assert (false.before, false.after, false.verdict) == (3.0, 1.0, Verdict.BETTER)
    worse = decided(after, before)
    assert {named(worse, name).verdict for name in (SENSITIVITY, FALSE_MASSES)} == {Verdict.WORSE}
    assert not worse.accepted


def test_cases_whose_masses_were_not_assessed_count_for_no_masses():
    scores = [CaseScore(f"ct {n}", f"p{n}", (("kidney", 0.9),), (), counted=False) for n in range(5)]
    assert {each.name for each in decided(scores, scores).comparisons} == {"kidney"}
    assert mean_numbers(scores) == (("kidney Dice", pytest.approx(0.9)),)


def test_a_first_version_must_reach_the_floors():
    scores = tuple(score(n, kidney=0.9, tumor=0.3) for n in range(5))
    own, nothing = Compared("b" * 64, "the candidate", scores), Compared("", "the stated floor")
    settings = GateSettings(floors=(("kidney", 0.85), ("tumor", 0.3), (SENSITIVITY, 1.0)))
    assert decide(own, nothing, frozen_sha256="", settings=settings).accepted
    refused = decide(own, nothing, frozen_sha256="", settings=GateSettings(floors=(("kidney", 0.95),)))
    assert not refused.accepted and refused.reason.startswith("below the floor: kidney: 0.95 -> 0.90")
    with pytest.raises(InputError, match="no floor says what a first version must reach"):
        decide(own, nothing, frozen_sha256="", settings=GateSettings())
    with pytest.raises(InputError, match="no case of the frozen set shows the cyst"):
        decide(own, nothing, frozen_sha256="", settings=GateSettings(floors=(("cyst", 0.5),)))


def test_scores_of_different_cases_are_not_compared():
    with pytest.raises(InputError, match="scored on different cases"):
        decided([score(0), score(1)], [score(0), score(2)])


@pytest.mark.parametrize(
    "changes", [{"level": 1.0}, {"level": 0.2}, {"mass_margin": -0.1}, {"floors": (("spleen", 0.5),)}]
)
def test_settings_that_cannot_be_are_refused(changes):
    with pytest.raises(InputError):
        GateSettings(**changes)


# The whole cascade on whole volumes


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Six labelled patients, of whom four are frozen, as files."""
    folder = tmp_path_factory.mktemp("gate")
    store = made_store(folder, 6)
    frozen = freeze(labelled_cases(store), FreezeSettings(least_patients=4))
    files = case_files_of(store, frozen.cases, InFolder(folder / "images"))
    return frozen, tuple(zip(frozen.cases, files, strict=True))


def judge_of(registry, judged):
    frozen, validated = judged
    return Judge(registry, frozen.sha256, validated, GateSettings())


def test_a_planted_worse_model_is_refused_and_the_reason_is_shown(tmp_path, judged):
    registry = made_registry(tmp_path, good_release())
    save_release(damaged(good_release()), tmp_path / "worse")
    found = judge_release(judge_of(registry, judged), tmp_path / "worse", name="planted", by="test")
    assert not found.published and not found.decision.accepted
    tumor = named(found.decision, "tumor")
    assert tumor.before > 0.7 and tumor.after == 0 and tumor.verdict is Verdict.WORSE and tumor.n == 4
    assert "tumor: " in found.version.reason and "worse" in found.version.reason
    assert registry.current().version == "v0001" and registry.shadow().name == "v0002"
    text = (registry.place("v0002") / "decision.md").read_text()
    assert "refused" in text and str(tumor) in text
    data = json.loads((registry.place("v0002") / "decision.json").read_text())
    assert data["accepted"] is False and data["comparisons"][1]["after"] == 0


def test_a_planted_better_model_is_published(tmp_path, judged):
    registry = made_registry(tmp_path, damaged(good_release()))
    save_release(good_release(), tmp_path / "better")
    found = judge_release(judge_of(registry, judged), tmp_path / "better", name="planted", by="test")
    assert found.published and named(found.decision, "tumor").verdict is Verdict.BETTER
    assert load_release(registry.folder).digest == found.version.digest
    assert Registry(registry.folder).current().reason == found.decision.reason


def test_scores_are_computed_once_for_a_release_and_a_torn_file_again(tmp_path, judged, monkeypatch):
    _, validated = judged
    release = save_release(good_release(), tmp_path / "release")
    first = score_release(release, validated, kept=tmp_path / "scores")
    files = sorted((tmp_path / "scores").iterdir())
    assert len(files) == 4
    files[0].write_text(files[0].read_text()[:30])
    loads = []
    monkeypatch.setattr("renalct.learning.loop.gate_scores.Cascade.run", _counted(loads))
    assert score_release(release, validated, kept=tmp_path / "scores") == first and len(loads) == 1


def _counted(loads):
    from renalct.cascade import Cascade

    run = Cascade.run

    def counted(self, volume, **words):
        loads.append(volume.grid.shape)
        return run(self, volume, **words)

    return counted


def test_a_volume_is_judged_whole_so_that_what_is_false_far_away_counts(tmp_path, judged):
    """The image that the cascade is given has the shape of the file, whatever the label covers."""
    _, validated = judged
    shapes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("renalct.learning.loop.gate_scores.Cascade.run", _counted(shapes))
        score_release(save_release(good_release(), tmp_path / "r"), validated[:1], kept=tmp_path / "scores")
    assert shapes == [(24, 20, 10)]


def test_a_comparison_as_a_sentence():
    comparison = Comparison("tumor", 0.61, 0.55, -0.12, -0.01, 0.05, 12, 12, Verdict.WORSE)
    assert str(comparison) == "tumor: 0.61 -> 0.55 [-0.12 to -0.01], n = 12: worse"
