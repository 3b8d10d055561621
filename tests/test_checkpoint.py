"""Checkpoints: a full disk, a damaged file, and what they say of themselves."""

import pytest
import torch
from bright_kidney import job, same, weights
from renalct.core.errors import OutputError, RecipeError
from renalct.models.checkpoint import CHECKPOINT, averaged_weights, progress_of
from renalct.models.engine import train_network


def test_a_full_disk_is_named_and_the_checkpoint_before_is_kept(tmp_path):
    train_network(job(tmp_path, steps=2))
    before = weights(tmp_path)
    (tmp_path / (CHECKPOINT + ".part")).symlink_to("/dev/full")  # a real device that is always full
    with pytest.raises(OutputError, match="no space is left on the disk; free some and resume"):
        train_network(job(tmp_path, steps=4))
    assert same(before, weights(tmp_path)) and averaged_weights(tmp_path)[1] == 2
    (tmp_path / (CHECKPOINT + ".part")).unlink()
    assert train_network(job(tmp_path, steps=4)).step == 4


def test_a_damaged_checkpoint_is_refused(tmp_path):
    train_network(job(tmp_path, steps=1))
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecipeError, match="is damaged"):
        train_network(job(tmp_path, steps=2))


def test_a_checkpoint_knows_how_far_its_training_is(tmp_path):
    train_network(job(tmp_path, steps=3))
    assert progress_of(tmp_path) == (3, 3)


def test_the_average_is_the_weights_themselves_without_a_decay(tmp_path):
    from dataclasses import replace

    from bright_kidney import STAGE
    from safetensors.torch import load_file

    stage = replace(STAGE, training=replace(STAGE.training, ema_decay=0.0))
    train_network(job(tmp_path, stage, steps=3))
    tensors = load_file(tmp_path / CHECKPOINT)
    for name, average in weights(tmp_path).items():
        assert torch.equal(average, tensors[f"network.{name}"])
