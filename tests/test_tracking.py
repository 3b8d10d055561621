"""Where numbers go: what is written is read back, and what comes again after a stop stands there once."""

import math

import pytest
from renalct.core.errors import OutputError
from renalct.models.tracking import HISTORY, History, MLflow, TensorBoard, read_history

NUMBERS = (("loss", 0.5), ("mass Dice", 0.25))


def test_a_history_is_read_back_with_what_is_undefined(tmp_path):
    history = History(tmp_path)
    history.begin(0)
    history.write(10, NUMBERS)
    history.write(20, (("lesion sensitivity", math.nan),))
    (first, second) = read_history(tmp_path)
    assert first == (10, NUMBERS) and second[0] == 20 and math.isnan(second[1][0][1])


def test_steps_that_come_again_stand_there_once(tmp_path):
    history = History(tmp_path)
    history.begin(0)
    for step in (10, 20, 30):
        history.write(step, NUMBERS)
    with (tmp_path / HISTORY).open("a") as file:
        file.write('{"step": 40, "lo')  # cut short by a stop
    history.begin(20)
    history.write(30, NUMBERS)
    assert [step for step, _ in read_history(tmp_path)] == [10, 20, 30]


def test_no_history_is_empty(tmp_path):
    assert read_history(tmp_path) == ()


def test_a_history_on_a_full_disk_says_so(tmp_path):
    (tmp_path / HISTORY).symlink_to("/dev/full")
    with pytest.raises(OutputError, match="cannot be written"):
        History(tmp_path).write(1, NUMBERS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_files_hold_the_scalars(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoard(tmp_path, "segment_0")
    board.begin(0)
    board.write(10, NUMBERS)
    found = EventAccumulator(str(tmp_path / "segment_0"))
    found.Reload()
    assert [(s.step, s.value) for s in found.Scalars("mass Dice")] == [(10, 0.25)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_mlflow_continues_the_run_of_a_network(tmp_path):
    from mlflow.tracking import MlflowClient

    for start in (0, 10):
        tracker = MLflow(tmp_path, "zhao2023 segment_0", (("batch", 4.0),))
        tracker.begin(start)
        tracker.write(start + 10, NUMBERS)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("renalct").experiment_id])
    assert run.data.params == {"batch": "4.0"}
    assert [m.step for m in client.get_metric_history(run.info.run_id, "mass_Dice")] == [10, 20]
