import errno
import os
import stat

import pytest
from renalct.core.errors import OutputError
from renalct.formats.output_folder import filled_folder, output_folder


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def write(final, text="one", **options):
    with output_folder(final, **options) as folder:
        (folder / "report.json").write_text(text)


def test_a_new_folder_appears_whole_with_its_parents(tmp_path):
    write(tmp_path / "a" / "b")
    assert names(tmp_path / "a") == ["b"] and names(tmp_path / "a" / "b") == ["report.json"]


def test_the_folder_does_not_exist_while_it_is_filled(tmp_path):
    with output_folder(tmp_path / "out") as folder:
        (folder / "x").write_text("x")
        assert not (tmp_path / "out").exists()


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), output_folder(tmp_path / "out") as folder:
        (folder / "x").write_text("x")
        raise RuntimeError
    assert names(tmp_path) == []


def test_an_earlier_result_is_kept_unless_it_may_be_replaced(tmp_path):
    write(tmp_path / "out")
    with pytest.raises(OutputError, match="--force"):
        write(tmp_path / "out", "two")
    assert (tmp_path / "out" / "report.json").read_text() == "one"
    write(tmp_path / "out", "two", replace_existing=True)
    assert (tmp_path / "out" / "report.json").read_text() == "two" and names(tmp_path) == ["out"]


def test_an_error_while_replacing_keeps_the_earlier_result(tmp_path):
    write(tmp_path / "out")
    with pytest.raises(RuntimeError), output_folder(tmp_path / "out", replace_existing=True):
        raise RuntimeError
    assert (tmp_path / "out" / "report.json").read_text() == "one" and names(tmp_path) == ["out"]


def test_a_folder_with_other_files_is_never_touched(tmp_path):
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        write(tmp_path, replace_existing=True)
    assert names(tmp_path) == ["thesis.doc"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match="not a folder"):
        write(tmp_path / "out")


def test_no_space_is_said_as_such(tmp_path):
    with pytest.raises(OutputError, match="no space is left"), output_folder(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def test_no_space_is_said_as_such_also_when_another_library_wraps_the_error(tmp_path):
    with pytest.raises(OutputError, match="no space is left"), output_folder(tmp_path / "out"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise OSError("With tag (7FE0,0010) got exception\nTraceback (most recent call last)") from error


def test_an_error_of_many_lines_is_said_in_one(tmp_path):
    with pytest.raises(OutputError, match="first line") as caught, output_folder(tmp_path / "out"):
        raise OSError("first line\nsecond line")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_without_permission_is_said_as_such(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OutputError, match="permission"):
        write(tmp_path / "out")


def test_a_given_folder_is_filled_only_at_the_end_and_keeps_its_other_files(tmp_path):
    (tmp_path / "other.txt").write_text("kept")
    (tmp_path / "report.json").write_text("old")
    with filled_folder(tmp_path) as folder:
        (folder / "report.json").write_text("new")
        assert (tmp_path / "report.json").read_text() == "old"
    assert names(tmp_path) == ["other.txt", "report.json"]
    assert (tmp_path / "report.json").read_text() == "new"


def test_a_given_folder_is_left_as_it_was_on_an_error(tmp_path):
    with pytest.raises(RuntimeError), filled_folder(tmp_path / "out") as folder:
        (folder / "report.json").write_text("half")
        raise RuntimeError
    assert names(tmp_path / "out") == []


def test_a_file_in_the_place_of_a_given_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("out", "link"):
        with pytest.raises(OutputError, match="is not a folder"), filled_folder(tmp_path / name):
            pass


def test_a_given_folder_may_be_a_link_to_one(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "place")
    with filled_folder(tmp_path / "out") as folder:
        (folder / "report.json").write_text("new")
    assert names(tmp_path / "place") == ["report.json"]
