"""What viewers and operators send, to values: clicks, scribbles, trainings, options of a server."""

import nibabel as nib
import numpy as np
import pytest
from renalct.core.errors import InputError, LabelError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure
from renalct.learning.acquisition.strategies import Strategy
from renalct.learning.interaction import Click
from renalct.learning.interaction_requests import box_of, clicks_by_name, clicks_on_one, scribbles_of
from renalct.learning.loop.loop_status import LoopState, LoopStatus
from renalct.learning.loop.retrain import Unfinished
from renalct.learning.loop.run_inputs import Start
from renalct.learning.loop_requests import (
    SpokenStatus,
    about_unfinished,
    settings_of,
    training_options,
    training_record,
)
from renalct.learning.model_desk import kept_structures
from renalct.learning.server_settings import settings_of_conf

GRID = Grid((4, 3, 2), np.eye(4))


def test_clicks_stand_under_the_names_of_labels():
    sent = {"tumor": [[1, 2, 3], [4.4, 5.0, 6.0]], "kidney": [], "background": [[0, 0, 0]], "label": "tumor", "roi": []}
    assert clicks_by_name(sent) == (
        Click(Structure.BACKGROUND, (0, 0, 0)),
        Click(Structure.TUMOR, (1, 2, 3)),
        Click(Structure.TUMOR, (4, 5, 6)),
    )


def test_clicks_on_one_label_are_on_it_or_beside_it():
    structure, clicks = clicks_on_one({"label": "Renal cyst", "foreground": [[1, 1, 1]], "background": [[2, 2, 2]]})
    assert structure is Structure.CYST
    assert clicks == (Click(Structure.CYST, (1, 1, 1)), Click(Structure.BACKGROUND, (2, 2, 2)))


@pytest.mark.parametrize(
    "points",
    ["x", {"a": 1}, [[1, 2]], [[1, 2, "3"]], [1, 2, 3], [[1, 2, float("nan")]], [[1, 2, 1e300]], [[1, 2, True]]],
)
def test_points_that_are_no_voxels_are_refused(points):
    with pytest.raises(InputError):
        clicks_by_name({"tumor": points})


def test_a_click_without_a_label_or_on_an_unknown_one_is_refused():
    with pytest.raises(InputError, match="no label is selected"):
        clicks_on_one({"foreground": [[1, 1, 1]]})
    with pytest.raises(LabelError, match="spleen"):
        clicks_on_one({"label": "spleen", "foreground": [[1, 1, 1]]})


@pytest.mark.parametrize(
    ("roi", "box"),
    [
        (None, None),
        ([], None),
        ([0, 2, 0, 1, 0, 1], Box((0, 0, 0), (3, 2, 2))),
        ([2, 0, 1, 0, 1, 0], Box((0, 0, 0), (3, 2, 2))),
        ([-5, 99, -5, 99, -5, 99], Box((0, 0, 0), (4, 3, 2))),
    ],
)
def test_a_region_of_interest_is_a_box_of_the_image_whatever_way_its_axes_run(roi, box):
    assert box_of(roi, GRID) == box


@pytest.mark.parametrize("roi", [[1, 2, 3], "box", [1, 2, 3, 4, 5, "6"], {"a": 1}])
def test_a_region_that_is_no_box_is_refused(roi):
    with pytest.raises(InputError, match="six voxel indices"):
        box_of(roi, GRID)


@pytest.fixture
def scribbled(tmp_path):
    values = np.zeros(GRID.shape, np.uint8)
    values[0, 0, 0], values[1, 0, 0], values[2, 0, 0], values[3, 0, 0] = 1, 2, 3, 4
    nib.save(nib.Nifti1Image(values, GRID.affine), tmp_path / "scribbles.nii.gz")
    return tmp_path / "scribbles.nii.gz"


def test_scribbles_are_told_from_labels_by_name_and_other_segments_are_left_out(scribbled):
    names = ["cyst", "foreground_scribbles", "background_scribbles", "uncertainty high"]
    info = [{"name": name, "id": number} for number, name in enumerate(names, start=1)]
    labels, scribbles = scribbles_of({"label_info": info, "selected_label_name": "tumor"}, scribbled, GRID)
    assert labels.values[:, 0, 0].tolist() == [3, 0, 0, 0]
    assert scribbles.structure is Structure.TUMOR
    assert scribbles.foreground[:, 0, 0].tolist() == [False, True, False, False]
    assert scribbles.background[:, 0, 0].tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"label_info": []}, "no label is selected"),
        ({"selected_label_name": "cyst"}, "which segment is a scribble"),
        ({"selected_label_name": "cyst", "label_info": [{"name": "cyst"}]}, "cannot be read"),
    ],
)
def test_scribbles_that_cannot_be_told_apart_are_refused(scribbled, request_, words):
    with pytest.raises(InputError, match=words):
        scribbles_of(request_, scribbled, GRID)


def test_a_prompt_of_classes_keeps_them_and_none_keeps_all():
    assert kept_structures([1, 3]) == {Structure.KIDNEY, Structure.CYST}
    assert kept_structures(None) is None and kept_structures([]) is None
    for wrong in (["x"], 3, [99]):
        with pytest.raises(InputError, match="label_prompt"):
            kept_structures(wrong)


def test_every_drop_down_of_a_training_holds_strings_and_the_defaults_mean_the_usual():
    options = training_options()
    assert all(isinstance(item, str) for value in options.values() if isinstance(value, list) for item in value)
    assert None not in options.values()
    assert settings_of(options) == settings_of({})
    assert settings_of({}).steps is None and settings_of({}).start is Start.WARM
    assert about_unfinished({}) is Unfinished.ANY


def test_what_a_viewer_chose_for_a_training_is_used():
    sent = {"start": "scratch", "steps": "12", "labels": "approved and gold", "replay_share": "0.3", "client_id": "ann"}
    settings = settings_of(sent)
    assert (settings.start, settings.steps, settings.replay_share) == (Start.SCRATCH, 12, 0.3)
    assert [state.value for state in settings.states] == ["approved", "gold"]
    assert about_unfinished({"unfinished": "begin anew"}) is Unfinished.LEAVE


@pytest.mark.parametrize(
    "wrong", [{"start": "cold"}, {"steps": "many"}, {"steps": -1}, {"labels": 7}, {"replay_share": "1.5"}]
)
def test_an_impossible_training_is_refused(wrong):
    with pytest.raises(InputError):
        settings_of(wrong)


def test_the_record_of_a_training_has_no_null_and_says_when_it_is_over():
    idle = training_record(LoopStatus())
    assert None not in idle.values() and idle["total_epochs"] == 1 and "total_time" not in idle
    running = LoopStatus(LoopState.TRAINING, epoch=3, total_epochs=9, started_at=100.0, beat_at=160.0)
    assert "total_time" not in training_record(running) and training_record(running)["epoch"] == 3
    over = LoopStatus(LoopState.KEPT, epoch=9, total_epochs=9, started_at=100.0, beat_at=165.4, best_metric=0.8)
    assert training_record(over)["total_time"] == "0:01:05"


def test_of_a_training_every_change_is_said_and_a_step_now_and_then():
    """The last line is the last change, which a reader of the log must not miss."""
    said = []
    heard = SpokenStatus(said.append, every_s=3600.0)
    for step in range(1, 4):
        heard(LoopStatus(LoopState.TRAINING, "learns", epoch=step, total_epochs=3))
    heard(LoopStatus(LoopState.JUDGING, "0 of 6", epoch=3, total_epochs=3))
    heard(LoopStatus(LoopState.KEPT, "kidney: worse"))
    assert said == ["training 1/3 learns", "judging 3/3 0 of 6", "kept unpublished kidney: worse"]
    often = SpokenStatus(said.append, every_s=0.0)
    for step in range(1, 4):
        often(LoopStatus(LoopState.TRAINING, "learns", epoch=step, total_epochs=3))
    assert said[-2:] == ["training 2/3 learns", "training 3/3 learns"]


def test_the_options_of_a_server_are_understood(tmp_path):
    conf = {
        "server_mode": "true", "strategy": "entropy", "models": "none", "lease_minutes": "30", "readings": "2",
        "auto_update": "5", "auto_quiet_minutes": "0.5", "image_cache_gb": "7",
        "users": str(tmp_path / "users.json"), "most_upload_mb": "3",
    }  # fmt: skip
    settings = settings_of_conf(conf)
    assert (settings.strategy, settings.has_models, settings.auto_update.new_labels) == (Strategy.ENTROPY, False, 5)
    assert (settings.desk.lease_seconds, settings.desk.readings) == (1800.0, 2)
    assert settings.most_upload_bytes == 3 << 20
    assert (settings.auto_update.quiet_seconds, settings.image_cache_bytes) == (30.0, 7_000_000_000)
    usual = settings_of_conf({})
    assert (usual.has_models, usual.auto_update, usual.desk.lease_minutes) == (True, None, 120.0)
    assert usual.home(str(tmp_path)) == tmp_path / "renalct"


def test_every_archive_has_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    one, same, other = (settings_of_conf({}).home(f"http://host/{name}") for name in ("a", "a/", "b"))
    assert one == same != other and one.parent == tmp_path / "renalct"


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({"realease": "x"}, "did you mean 'release'"),
        ({"strategy": "entropie"}, "did you mean entropy"),
        ({"models": "some"}, "'all', or 'none'"),
        ({"lease_minutes": "soon"}, "a number is needed"),
        ({"lease_minutes": "-1"}, "more than 0 minutes"),
        ({"readings": "1.5"}, "a whole number"),
        ({"auto_update": "-3"}, "0 or more"),
        ({"auto_update": "3", "auto_quiet_minutes": "-1"}, "times of 0 seconds or more"),
        ({"auto_quiet_minutes": "soon"}, "a number is needed"),
    ],
)
def test_an_option_that_cannot_be_is_refused_at_the_start(conf, words):
    with pytest.raises(InputError, match=words):
        settings_of_conf(conf)
