"""Processes that train together: two with half the batch each learn what one learns with all of it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bright_kidney import PLAIN, distance, job, weights
from renalct.core.errors import InputError
from renalct.models.engine import train_network
from renalct.models.parallel import ALONE, team_of
from renalct.models.training_settings import DiceOver

STEPS = 6
PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_parallel
test_parallel.train_all(Path(sys.argv[1]))
"""


def stages():
    """Dice over each sample, over the batch of all processes, and one more loss."""
    sample = replace(PLAIN, training=replace(PLAIN.training, steps=STEPS))
    return {
        "sample": sample,
        "batch": replace(sample, training=replace(sample.training, dice_over=DiceOver.BATCH)),
    }


def train_all(folder: Path) -> None:
    torch.set_num_threads(1)
    with team_of("cpu") as team:
        for name, stage in stages().items():
            train_network(job(folder / name, stage), team=team)
        every = team.total(torch.tensor([1.0 + team.rank]))
        assert team.size == 1 or (float(every), team.told(5.0 * (team.rank + 1))) == (3.0, 5.0)


def test_two_processes_learn_what_one_learns_with_the_double_batch(tmp_path):
    script = tmp_path / "process.py"
    script.write_text(PROCESS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [*command, str(tmp_path / "two"), str(Path(__file__).parent)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    train_all(tmp_path / "one")
    for name in stages():
        assert distance(weights(tmp_path / "one" / name), weights(tmp_path / "two" / name)) < 1e-4
    assert distance(weights(tmp_path / "one" / "sample"), weights(tmp_path / "one" / "batch")) > 1e-3


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(
            InputError, match="there are 1 GPUs here and more processes; start torchrun with --nproc-per-node 1"
        ),
        team_of("cuda"),
    ):
        pass


def test_one_process_is_a_team_of_one():
    with team_of("cpu") as team:
        assert team == ALONE and team.first and team.told(3.0) == 3.0
        assert torch.equal(team.total(torch.ones(2)), torch.ones(2))
        team.wait()
