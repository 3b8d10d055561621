"""The edits that turn the packager's Dockerfile into one for a hardened CPU image: each is needed and checked."""

import re

import pytest
from kept_context import kept_context
from renalct.core.errors import InputError

from packager.containerfile import edits, portable

BASE = "debian:12-slim"


@pytest.fixture(scope="module")
def stock(tmp_path_factory) -> str:
    """The Dockerfile of the installed packager."""
    return (kept_context(tmp_path_factory.mktemp("map")) / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def edited(stock) -> str:
    return portable(stock, base=BASE)


def instructions(text: str) -> list[str]:
    """The instructions, continued lines joined, without comments."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [line for line in lines if line.strip()]


def test_the_base_is_debian_and_nothing_of_nvidias_is_fetched(edited):
    assert f"FROM {BASE} AS base" in instructions(edited)
    assert "nvcr.io" not in edited and "developer.download.nvidia.com" not in edited
    assert "python3.12" not in edited and "curl" not in edited


def test_packages_come_from_the_wheelhouse_with_their_hashes_and_never_from_a_network(edited):
    pips = [line for line in instructions(edited) if "pip install" in line]
    assert len(pips) == 1
    assert {"--require-hashes", "--no-index", "--no-cache-dir"} <= set(pips[0].split())
    assert "--user" not in pips[0]


def test_the_image_runs_as_a_number_that_is_not_root_after_everything_was_installed(edited):
    lines = instructions(edited)
    assert [line for line in lines if line.startswith("USER")] == ["USER $UID:$GID"]
    assert lines[-2:] == ["USER $UID:$GID", 'ENTRYPOINT ["/var/holoscan/tools"]']


def test_no_library_or_program_is_looked_for_where_a_user_can_write(edited):
    assert not [line for line in instructions(edited) if line.startswith(("ENV LD_LIBRARY_PATH", "ENV PATH"))]
    assert "sudo" not in edited


def test_the_entry_point_ends_with_the_exit_code_of_the_application(edited):
    assert "echo 'exit ${exit_code:-0}' >> /var/holoscan/tools" in edited


@pytest.mark.parametrize("edit", edits(BASE), ids=lambda edit: edit.why)
def test_a_packager_whose_file_lacks_what_an_edit_replaces_is_refused(stock, edit):
    without = re.sub(edit.pattern, "", stock, flags=re.DOTALL)
    assert without != stock
    with pytest.raises(InputError, match=re.escape(repr(edit.why))):
        portable(without, base=BASE)


@pytest.mark.parametrize("edit", edits(BASE), ids=lambda edit: edit.why)
def test_what_an_edit_replaces_is_gone(edited, edit):
    assert not re.search(edit.pattern, edited, re.DOTALL) or edit.why in KEEPS_ITS_MARK


KEEPS_ITS_MARK = {
    "base image's label",  # another value
    "the entry point ends with the exit code of the application, and not always with 0",  # more behind it
    "our modules are compiled, as nobody may write there later; a user by number, whom Kubernetes can check",
}


def test_a_file_that_was_edited_already_is_refused(edited):
    with pytest.raises(InputError, match="0 places"):
        portable(edited, base=BASE)
