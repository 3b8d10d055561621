"""The file of users: hashed passwords, roles, tokens."""

import json
import stat

import pytest
from renalct.__main__ import main
from renalct.core.errors import InputError
from renalct.learning.users import Role, UserFile


@pytest.fixture
def users(tmp_path):
    found = UserFile(tmp_path / "users.json")
    found.add("ann", "correct horse", (Role.ANNOTATOR,))
    return found


def test_the_right_password_lets_in_and_any_other_does_not(users):
    assert users.check("ann", "correct horse").name == "ann"
    assert users.check("ann", "correct hors") is None
    assert users.check("ann", "") is None
    assert users.check("nobody", "correct horse") is None


def test_no_password_stands_in_the_file_and_others_cannot_read_it(users):
    assert "correct horse" not in users.path.read_text()
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    users.key()
    assert stat.S_IMODE(users.path.with_suffix(".key").stat().st_mode) == 0o600


def test_two_users_with_one_password_have_different_hashes(users):
    other = users.add("bob", "correct horse", (Role.REVIEWER,))
    assert other.password != users.users()["ann"].password


def test_a_role_includes_those_below_it(users):
    assert users.add("rev", "long enough", (Role.REVIEWER,)).all_roles == (Role.ANNOTATOR, Role.REVIEWER)
    assert users.add("adm", "long enough", (Role.ADMIN,)).all_roles == tuple(Role)
    assert users.users()["ann"].all_roles == (Role.ANNOTATOR,)


def test_a_token_ends_when_the_password_is_changed_or_the_user_is_removed(users):
    claims = users.claims(users.check("ann", "correct horse"))
    assert users.user_of(claims).name == "ann"
    users.add("ann", "another horse", (Role.ANNOTATOR,))
    assert users.user_of(claims) is None
    users.remove("ann")
    assert users.user_of(users.claims(users.add("ann", "another horse", (Role.ANNOTATOR,)))) is not None
    users.remove("ann")
    assert users.user_of(claims) is None


def test_a_token_lasts_twelve_hours(tmp_path):
    users = UserFile(tmp_path / "users.json", clock=lambda: 1000.0)
    assert users.claims(users.add("ann", "correct horse", (Role.ANNOTATOR,)))["exp"] == 1000 + 12 * 3600


def test_several_servers_share_the_key_of_a_file(users):
    assert users.key() == UserFile(users.path).key()
    assert len(users.key()) == 32


def test_a_change_by_another_process_is_seen(users):
    UserFile(users.path).add("bob", "correct horse", (Role.ANNOTATOR,))
    assert set(users.users()) == {"ann", "bob"}


@pytest.mark.parametrize(
    ("name", "password", "roles", "words"),
    [
        ("", "correct horse", (Role.ANNOTATOR,), "cannot be the name"),
        ("a\nb", "correct horse", (Role.ANNOTATOR,), "cannot be the name"),
        ("bob", "short", (Role.ANNOTATOR,), "shorter than 8"),
        ("bob", "correct horse", (), "no role"),
    ],
)
def test_a_user_that_cannot_be_is_refused(users, name, password, roles, words):
    with pytest.raises(InputError, match=words):
        users.add(name, password, roles)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 2, "users": []}', '{"schema_version": 1}'])
def test_a_damaged_file_is_told_and_lets_nobody_in(tmp_path, text):
    path = tmp_path / "users.json"
    path.write_text(text)
    with pytest.raises(InputError, match="cannot be read"):
        UserFile(path).check("ann", "correct horse")


def test_a_password_that_is_no_hash_lets_nobody_in(users):
    data = json.loads(users.path.read_text())
    data["users"][0]["password"] = "correct horse"
    users.path.write_text(json.dumps(data))
    assert UserFile(users.path).check("ann", "correct horse") is None


def test_the_command_adds_lists_and_removes(tmp_path, monkeypatch, capsys):
    import io

    path = str(tmp_path / "users.json")
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    assert main(["users", path, "add", "rev", "--role", "reviewer"]) == 0
    assert UserFile(path).check("rev", "correct horse").roles == (Role.REVIEWER,)
    assert main(["users", path, "list"]) == 0
    assert "rev  reviewer" in capsys.readouterr().out
    assert main(["users", path, "remove", "rev"]) == 0
    assert UserFile(path).users() == {}
    assert main(["users", path, "remove", "rev"]) == 2
    assert main(["users", path, "add"]) == 2
