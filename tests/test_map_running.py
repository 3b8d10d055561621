"""How the image is run and built: what the container may, in the words of docker and of bubblewrap."""

from pathlib import Path

import pytest
from renalct.core.errors import InputError

from packager import building
from packager.building import BUILDAH_BASE, DOCKER_BASE, Builder, Workshop, find_builder
from packager.running import Launch, bubblewrap_words, docker_words

SETTINGS = {"Env": ["A=1", "B=x=y"], "WorkingDir": "/var/holoscan", "Entrypoint": ["/var/holoscan/tools"]}
LAUNCH = Launch(Path("/in"), Path("/out"), user=4242)


def follows(words: list[str], *some: str) -> bool:
    """Whether these words stand one after the other among the words."""
    return any(tuple(words[at : at + len(some)]) == some for at in range(len(words)))


def test_bubblewrap_gives_a_read_only_root_no_network_and_the_packagers_entry_point():
    words = bubblewrap_words(Path("/root"), SETTINGS, LAUNCH)
    assert follows(words, "--ro-bind", "/root", "/")
    assert {"--unshare-net", "--unshare-pid", "--unshare-ipc", "--clearenv"} <= set(words)
    assert follows(words, "--setenv", "B", "x=y")
    assert words[-1] == "/var/holoscan/tools"


def test_only_the_output_folder_may_be_written():
    words = bubblewrap_words(Path("/root"), SETTINGS, LAUNCH)
    assert [words[at + 1 : at + 3] for at, word in enumerate(words) if word == "--bind"] == [
        ["/out", "/var/holoscan/output"]
    ]
    assert follows(words, "--ro-bind", "/in", "/var/holoscan/input")
    mounts = [word for word in docker_words("renalct:1", LAUNCH) if word.startswith("type=bind")]
    assert [word for word in mounts if not word.endswith(",readonly")] == [
        "type=bind,source=/out,target=/var/holoscan/output"
    ]


def test_the_user_is_really_that_number_without_any_capability():
    words = bubblewrap_words(Path("/root"), SETTINGS, LAUNCH)
    assert follows(words, "setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups", "--no-new-privs")
    assert {"--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"} <= set(words)
    assert not {"--uid", "--unshare-user"} & set(words), "a user name space would only look like that number"


def test_docker_is_told_the_same():
    words = docker_words("renalct:1", LAUNCH)
    assert "--read-only" in words and follows(words, "--network", "none") and follows(words, "--cap-drop", "ALL")
    assert follows(words, "--user", "4242:4242") and follows(words, "--security-opt", "no-new-privileges")
    assert words[-1] == "renalct:1"


def test_other_models_and_another_command_take_the_place_of_the_images():
    launch = Launch(Path("/in"), Path("/out"), models=Path("/models"), command=("python3", "-c", "1"))
    words = docker_words("renalct:1", launch)
    assert words[-3:] == ["renalct:1", "-c", "1"] and follows(words, "--entrypoint", "python3")
    assert "type=bind,source=/models,target=/opt/holoscan/models,readonly" in words
    assert bubblewrap_words(Path("/root"), SETTINGS, launch)[-3:] == ["python3", "-c", "1"]


def test_without_docker_and_buildah_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(building.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="apt-get install buildah debootstrap bubblewrap"):
        find_builder()


def test_a_docker_whose_daemon_answers_is_preferred(monkeypatch):
    monkeypatch.setattr(building.shutil, "which", lambda name: "/bin/true")
    assert find_builder() is Builder.DOCKER
    monkeypatch.setattr(building.shutil, "which", lambda name: "/bin/false")
    monkeypatch.setattr(building.os, "geteuid", lambda: 0)
    assert find_builder() is Builder.BUILDAH
    monkeypatch.setattr(building.os, "geteuid", lambda: 1000)
    with pytest.raises(InputError, match="root"):
        find_builder()


def test_each_builder_has_its_base_and_the_workshop_its_folders(tmp_path):
    assert (Builder.DOCKER.base, Builder.BUILDAH.base) == (DOCKER_BASE, BUILDAH_BASE)
    shop = Workshop(tmp_path)
    assert len({shop.context, shop.wheels, shop.base}) == 3
    assert shop.dpkg_status == tmp_path / "base/var/lib/dpkg/status"
    assert shop.wheels.name != "wheels", "the packager's .dockerignore leaves a folder of that name out"
