"""The live release of a server, and how a newly published one takes its place."""

from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import ReleaseError
from renalct.core.grid import Grid
from renalct.core.volume import CTVolume
from renalct.formats.study import Study
from renalct.learning.loop.registry import Registry
from renalct.learning.model_desk import ModelDesk, Subject
from renalct.models.recipes import recipe_named
from renalct.models.release import Card, Release, load_release, save_release
from tiny_recipes import tiny


def release_in(folder, seed):
    """A release with random weights of tiny networks."""
    from renalct.models.networks import build_network, state_of

    recipe = tiny(recipe_named("starter"))
    weights = tuple(
        (name, tuple({k: v * seed for k, v in state_of(build_network(stage)).items()} for _ in range(stage.members)))
        for name, stage in recipe.stages
    )
    save_release(Release(recipe, Card("tiny", f"{seed}", "nothing", "CC0-1.0"), "", weights), folder)
    return folder


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


def test_a_release_that_is_published_is_live_at_the_next_question(tmp_path, registry):
    desk = ModelDesk(registry, release=release_in(tmp_path / "first", 1))
    first = load_release(tmp_path / "first").digest
    assert desk.digest == first
    live = desk.cascade()
    assert desk.cascade() is live, "it is loaded once"
    second = load_release(release_in(tmp_path / "second", 2)).digest
    added = registry.add(tmp_path / "second", run="r0001", accepted=True, compared_with=first, reason="better")
    assert desk.digest == first, "kept, not published"
    registry.publish(added.name, by="test")
    assert desk.digest == second != first


def test_a_damaged_release_is_told(tmp_path, registry):
    folder = release_in(tmp_path / "first", 1)
    next(folder.glob("*.safetensors")).write_bytes(b"damaged")
    with pytest.raises(ReleaseError):
        ModelDesk(registry, release=folder).cascade()


def test_the_answer_to_an_image_is_computed_once_for_each_release(tmp_path, registry, monkeypatch):
    desk = ModelDesk(registry, release=release_in(tmp_path / "first", 1))
    asked = []
    cascade = desk.cascade()
    monkeypatch.setattr(cascade, "run", lambda volume, **more: asked.append(volume) or len(asked))
    volume = CTVolume(np.full((2, 2, 2), -50, np.int16), Grid((2, 2, 2), np.eye(4)))
    subjects = [Subject(key, lambda: Study(volume)) for key in ("a", "a", "b", "a")]
    assert [desk.answer(subject) for subject in subjects] == [1, 1, 2, 1]
    assert [desk.answer(replace(subjects[0], key=str(n))) for n in range(4)] == [3, 4, 5, 6]
    assert desk.answer(subjects[0]) == 7, "only the last few answers are kept"
