"""The registry of versions: whole after a stop at any moment, safe for several processes, and read by every host."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from made_loop import RECIPE, made_registry
from renalct.core.errors import InputError, OutputError, ReleaseError
from renalct.formats.durable import locked
from renalct.learning.loop.registry import Registry
from renalct.models.release import holds_release, load_release, random_release, save_release

STEPS = ("fsync", "replace", "rename", "open")


def add(registry, folder, seed=1, **changes):
    """A candidate that the gate accepted against what is published."""
    release = save_release(random_release(RECIPE, seed=seed), folder / f"candidate {seed}")
    now = registry.current()
    facts = {"accepted": True, "compared_with": now.digest if now else "", "reason": "tumor: better"} | changes
    version = registry.add(folder / f"candidate {seed}", run=f"r{seed:04d}", **facts)
    assert version.digest == release.digest
    return version


def killed_at(number, action):
    """Do something in another process that is killed before its n-th step that touches the disk; whether it was."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] != 0
    signal.alarm(60)
    left = [number]

    def counting(function):
        def counted(*args, **words):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return function(*args, **words)

        return counted

    for name in STEPS:
        setattr(os, name, counting(getattr(os, name)))
    Path.write_text = counting(Path.write_text)
    try:
        action()
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_a_version_that_is_killed_while_it_is_published_leaves_the_old_one_live(tmp_path):
    registry = made_registry(tmp_path)
    add(registry, tmp_path)
    seen, step = [], 0
    while killed_at(step, lambda: registry.publish("v0002", by="test")):
        live = Registry(registry.folder).current()
        assert load_release(registry.folder).digest == live.digest
        seen.append(live.version)
        step += 1
    assert step >= 4 and seen[0] == "v0001" and seen == sorted(seen)
    assert Registry(registry.folder).current().version == "v0002"


def test_a_version_that_is_killed_while_it_is_added_is_there_whole_or_not_at_all(tmp_path):
    registry = made_registry(tmp_path)
    save_release(random_release(RECIPE, seed=5), tmp_path / "candidate")
    facts = {"run": "r0005", "accepted": True, "compared_with": "", "reason": "", "texts": {"decision.md": "# yes"}}
    step = 0
    while killed_at(step, lambda: registry.add(tmp_path / "candidate", **facts)):
        for version in registry.versions():
            assert load_release(registry.release_of(version.name)).digest == version.digest
            assert version.name == "v0001" or (registry.place(version.name) / "decision.md").read_text() == "# yes"
        step += 1
    assert step >= 6
    assert Registry(registry.folder).current().version == "v0001"


def test_a_published_version_is_an_ordinary_release_for_every_host(tmp_path):
    registry = made_registry(tmp_path)
    version = add(registry, tmp_path)
    registry.publish(version.name, by="test")
    release = load_release(registry.folder)
    assert release.digest == version.digest and release.card.version == "v0002"
    for folder in (registry.place("v0002"), registry.release_of("v0002")):
        assert load_release(folder).digest == version.digest
    for folder in (registry.folder, registry.place("v0002"), registry.release_of("v0002")):
        assert holds_release(folder)  # an application package looks for one so
    assert not holds_release(tmp_path) and not holds_release(registry.folder / "versions")
    assert load_release(registry.release_of("v0001")).digest != version.digest


def test_several_processes_add_at_once_and_each_has_its_own_number(tmp_path):
    made_registry(tmp_path)
    save_release(random_release(RECIPE, seed=2), tmp_path / "candidate")

    def one(number):
        registry = Registry(tmp_path / "registry")
        return registry.add(
            tmp_path / "candidate", run=f"r{number}", accepted=False, compared_with="", reason="worse"
        ).name

    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(one, range(6)))
    assert sorted(names) == [f"v{n:04d}" for n in range(2, 8)]


def test_a_server_that_asks_again_and_again_sees_what_another_process_published(tmp_path):
    registry, server = made_registry(tmp_path), Registry(tmp_path / "registry")
    assert server.current().version == "v0001"
    assert server.history() is server.history()  # read once as long as the file stays
    add(registry, tmp_path)
    registry.publish("v0002", by="test")
    assert server.current().version == "v0002"


def test_rollback_goes_to_the_version_before_and_then_to_the_one_before_that(tmp_path):
    registry = made_registry(tmp_path)
    for seed in (1, 2):
        registry.publish(add(registry, tmp_path, seed).name, by="test")
    assert registry.current().version == "v0003"
    assert registry.rollback(by="rita", reason="misses cysts").version == "v0002"
    assert registry.rollback(by="rita", reason="so does this").version == "v0001"
    with pytest.raises(InputError, match="no version was published before the present one"):
        registry.rollback(by="rita", reason="?")
    assert registry.rollback(by="rita", reason="not so bad", to="v0003").version == "v0003"
    assert [each.reason for each in registry.history()][-3:] == ["misses cysts", "so does this", "not so bad"]
    with pytest.raises(InputError, match="v0009 was never published"):
        registry.rollback(by="rita", reason="?", to="v0009")


def test_a_refused_version_is_published_only_despite_the_gate_and_with_a_reason(tmp_path):
    registry = made_registry(tmp_path)
    add(registry, tmp_path, accepted=False, reason="tumor: 0.61 -> 0.55: worse")
    with pytest.raises(InputError, match=r"the gate refused v0002: tumor: 0\.61 -> 0\.55: worse"):
        registry.publish("v0002", by="rita")
    with pytest.raises(InputError, match="say why"):
        registry.publish("v0002", by="rita", despite_the_gate=True)
    registry.publish("v0002", by="rita", reason="the frozen labels were wrong", despite_the_gate=True)
    assert registry.current() == registry.history()[-1]
    assert registry.current().reason == "the frozen labels were wrong"


def test_a_version_that_was_compared_with_another_than_the_live_one_is_not_published(tmp_path):
    registry = made_registry(tmp_path)
    add(registry, tmp_path, 1)
    add(registry, tmp_path, 2)
    registry.publish("v0002", by="test")
    with pytest.raises(InputError, match="v0003 was compared with another release than v0002"):
        registry.publish("v0003", by="test")


def test_a_version_whose_files_were_changed_is_not_published(tmp_path):
    registry = made_registry(tmp_path)
    add(registry, tmp_path)
    save_release(random_release(RECIPE, seed=9), registry.release_of("v0002"))
    with pytest.raises(ReleaseError, match="is not the release that was added as v0002"):
        registry.publish("v0002", by="test")
    assert registry.current().version == "v0001"


def test_the_newest_version_that_was_never_published_is_the_shadow(tmp_path):
    registry = made_registry(tmp_path)
    assert registry.shadow() is None
    add(registry, tmp_path, accepted=False)
    assert registry.shadow().name == "v0002"
    registry.publish(add(registry, tmp_path, 2).name, by="test")
    assert registry.shadow() is None


def test_an_unknown_version_and_a_name_that_walks_out_are_refused(tmp_path):
    registry = made_registry(tmp_path)
    for name in ("v0002", "../versions/v0001", ""):
        with pytest.raises(InputError, match="it has v0001"):
            registry.version(name)


@pytest.mark.parametrize("content", ["", "{}", '{"release": 3}', '{"release": "../elsewhere"}'])
def test_a_damaged_pointer_is_one_sentence_and_never_another_folder(tmp_path, content):
    registry = made_registry(tmp_path)
    (registry.folder / "current.json").write_text(content)
    with pytest.raises(ReleaseError, match=r"current\.json"):
        load_release(registry.folder)


def test_the_pointer_holds_its_schema_version(tmp_path):
    registry = made_registry(tmp_path)
    data = json.loads((registry.folder / "current.json").read_text())
    assert data["schema_version"] == 1 and data["release"] == "versions/v0001/release"


def test_a_lock_is_held_by_one_and_given_back_by_the_system_when_its_process_ends(tmp_path):
    with (
        locked(tmp_path / "lock"),
        pytest.raises(OutputError, match="another process holds"),
        locked(tmp_path / "lock", seconds=0),
    ):
        pass
    assert killed_at(2, lambda: _hold(tmp_path / "lock"))
    with locked(tmp_path / "lock", seconds=0):
        pass


def _hold(path):
    with locked(path):
        for _ in range(9):
            os.fsync(0)
