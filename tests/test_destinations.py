"""Destinations: from a file with strict keys, from an address, with secrets that never show."""

import json
import math
import ssl
from dataclasses import replace

import pytest
from renalct.core.errors import InputError
from renalct.delivery.access import Tls, WebAccess
from renalct.delivery.destinations import Commitment, DimseDestination, WebDestination, read_destinations

PACS = {"name": "pacs", "kind": "dimse", "host": "pacs.example", "port": 104, "ae_title": "PACS"}
ARCHIVE = {"name": "archive", "kind": "dicomweb", "url": "https://archive.example/dicom-web"}


def written(folder, *entries, **top):
    path = folder / "destinations.json"
    path.write_text(json.dumps({"schema_version": 1, "destinations": list(entries), **top}))
    return path


def test_a_file_describes_nodes_and_archives(tmp_path):
    full = ARCHIVE | {"user": "anna", "password_file": "secret.txt", "tls": {"ca_file": "ca.pem"}, "check": False}
    commitment = {"commitment": {"port": 11115, "patience_s": 60}}
    found = read_destinations(written(tmp_path, PACS | commitment | {"find": True}, full))
    assert found == (
        DimseDestination(
            name="pacs",
            host="pacs.example",
            port=104,
            ae_title="PACS",
            find=True,
            commitment=Commitment(port=11115, patience_s=60.0),
        ),
        WebDestination(
            name="archive",
            web=WebAccess(
                url="https://archive.example/dicom-web",
                user="anna",
                password_file=tmp_path / "secret.txt",
                tls=Tls(ca_file=tmp_path / "ca.pem"),
            ),
            check=False,
        ),
    )


def test_some_destinations_of_a_file_can_be_chosen(tmp_path):
    path = written(tmp_path, PACS, ARCHIVE)
    assert [each.name for each in read_destinations(path, names=["archive"])] == ["archive"]
    with pytest.raises(InputError, match=r"no destination 'archiv'; did you mean 'archive'"):
        read_destinations(path, names=["archiv"])


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("PACS@pacs.example:104", ("PACS", "pacs.example", 104)),
        ("MAIN PACS@10.0.0.1:11112", ("MAIN PACS", "10.0.0.1", 11112)),
        ("A@B@pacs.example:104", ("A@B", "pacs.example", 104)),
        ("PACS@[::1]:104", ("PACS", "::1", 104)),
    ],
)
def test_the_address_of_a_node_is_a_destination(address, expected):
    (found,) = read_destinations(address)
    assert (found.ae_title, found.host, found.port) == expected
    assert found.name == address


def test_the_address_of_an_archive_is_a_destination_that_is_checked():
    (found,) = read_destinations("https://archive.example/dicom-web")
    assert (found.web.url, found.name, found.check) == (found.name, "https://archive.example/dicom-web", True)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("PACS@pacs.example", "no address of a DICOM node; give one like AETITLE@host:104"),
        ("PACS@pacs.example:99999", "no address of a DICOM node"),
        ("@pacs.example:104", "no address of a DICOM node"),
        ("AN AE TITLE TOO LONG@pacs.example:104", "1 to 16 characters are needed"),
        ("https://anna:secret@archive.example", "give user and password apart"),
        ("there-is-no-such-file.json", "cannot be read .* or an address like"),
    ],
)
def test_what_is_no_destination_is_refused(place, problem):
    with pytest.raises(InputError, match=problem) as raised:
        read_destinations(place)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (PACS | {"ae_titel": "PACS"}, r"destinations\[0\] has the unknown key 'ae_titel'; did you mean 'ae_title'\?"),
        (ARCHIVE | {"password": "x"}, r"unknown key 'password'; did you mean 'password_file'\?"),
        (PACS | {"kind": "dimsee"}, r"has the kind 'dimsee'; did you mean 'dimse'\?"),
        (PACS | {"commitment": {"prot": 1}}, r"commitment has the unknown key 'prot'; did you mean 'port'\?"),
        (PACS | {"port": "104"}, r"port is '104'; a whole number is needed"),
        (PACS | {"port": 0}, "a port from 1 to 65535"),
        (PACS | {"host": " "}, "needs a host"),
        (PACS | {"name": "a/b"}, "use letters, digits"),
        (PACS | {"answer_timeout_s": 0}, "must be more than 0 seconds"),
        (PACS | {"connect_timeout_s": math.nan}, "must be more than 0 seconds"),
        (PACS | {"commitment": {"patience_s": math.nan}}, "patience_s more than 0"),
        (PACS | {"calling_ae_title": "back\\slash"}, "1 to 16 characters are needed"),
        ({"name": "pacs", "kind": "dimse", "host": "h", "port": 104}, "lacks the key 'ae_title'"),
        (ARCHIVE | {"user": "anna"}, "needs a user and a password_file or password_variable"),
        (ARCHIVE | {"token_file": "t", "user": "u", "password_file": "p"}, "a token and a password are given"),
        (ARCHIVE | {"token_file": "t", "token_variable": "T"}, "is in a file and in a variable"),
        (ARCHIVE | {"tls": {"key_file": "k.pem"}}, "key_file is given without a certificate_file"),
        ("pacs", "an object is needed"),
    ],
)
def test_an_entry_that_cannot_work_is_refused_with_the_file_and_the_nearest_key(entry, problem, tmp_path):
    with pytest.raises(InputError, match=rf"destinations\.json: .*{problem}"):
        read_destinations(written(tmp_path, entry))


@pytest.mark.parametrize("secret", [{"user": "anna", "password_file": "p"}, {"token_variable": "T"}])
@pytest.mark.parametrize("url", ["http://archive.example/dicom-web", "HTTP://10.0.0.1:8042/dicom-web"])
def test_a_secret_goes_over_plain_http_only_where_the_file_says_so(url, secret, tmp_path):
    entry = ARCHIVE | secret | {"url": url}
    of_a_node = PACS | {"qido": secret | {"url": url}}
    kind = "password" if "user" in secret else "token"
    for refused in (entry, of_a_node, entry | {"allow_plain_http": False}):
        with pytest.raises(InputError, match=rf"a {kind} for [a-z0-9.:]+ would go over plain http.*allow_plain_http"):
            read_destinations(written(tmp_path, refused))
    assert read_destinations(written(tmp_path, entry | {"allow_plain_http": True}))[0].web.allow_plain_http
    of_a_node["qido"]["allow_plain_http"] = True
    assert read_destinations(written(tmp_path, of_a_node))[0].qido.url == url


@pytest.mark.parametrize("host", ["localhost:8042", "127.0.0.1", "127.8.9.1:80", "[::1]:8042"])
def test_a_secret_may_go_over_plain_http_to_this_computer(host):
    assert WebAccess(url=f"http://{host}/dicom-web", token_variable="T").place == host


@pytest.mark.parametrize("host", ["localhost.example", "127.0.0.1.example", "0.0.0.0", "[fe80::1]:8042"])
def test_what_is_not_this_computer_is_told_from_it(host):
    with pytest.raises(InputError, match="plain http"):
        WebAccess(url=f"http://{host}/dicom-web", token_variable="T")
    assert WebAccess(url=f"http://{host}/dicom-web").place == host
    assert WebAccess(url=f"https://{host}/dicom-web", token_variable="T").place == host


def test_a_file_that_is_none_is_refused(tmp_path):
    for text, problem in (
        ("{", "is no JSON"),
        ("[]", 'has no list "destinations"'),
        (json.dumps({"schema_version": 2, "destinations": [PACS]}), "schema_version 2; 1 is needed"),
        (json.dumps({"schema_version": 1, "destinations": []}), "has no destination"),
        (json.dumps({"schema_version": 1, "destinations": [PACS, PACS]}), "two destinations 'pacs'"),
        (json.dumps({"schema_version": 1, "destinations": [PACS], "destination": 1}), "did you mean 'destinations'"),
    ):
        (tmp_path / "d.json").write_text(text)
        with pytest.raises(InputError, match=problem):
            read_destinations(tmp_path / "d.json")


def settings_of(access):
    return access.settings(connect_timeout_s=1, answer_timeout_s=2)


def test_secrets_are_read_each_time_from_their_file_or_variable(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("first\n")
    by_file = WebAccess(url="https://a.example", token_file=tmp_path / "token")
    assert settings_of(by_file).token == "first"
    (tmp_path / "token").write_text("renewed\n")
    assert settings_of(by_file).token == "renewed"
    monkeypatch.setenv("PACS_PASSWORD", "from a variable")
    by_variable = WebAccess(url="https://a.example", user="anna", password_variable="PACS_PASSWORD")
    assert (settings_of(by_variable).user, settings_of(by_variable).password) == ("anna", "from a variable")
    assert "variable" not in repr(settings_of(by_variable)) and "renewed" not in repr(by_file)


def test_a_secret_that_is_missing_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("PACS_TOKEN", raising=False)
    with pytest.raises(InputError, match="variable PACS_TOKEN is not set"):
        settings_of(WebAccess(url="https://a.example", token_variable="PACS_TOKEN"))
    with pytest.raises(InputError, match="file of a secret, token, cannot be read"):
        settings_of(WebAccess(url="https://a.example", token_file=tmp_path / "token"))


def test_certificates_that_are_none_are_told(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    for file in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(InputError, match="a certificate file cannot be used"):
            Tls(ca_file=file).context()


def test_a_server_without_a_valid_certificate_for_its_name_is_never_trusted():
    context = Tls().context()
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED


def test_times_and_ports_that_cannot_work_are_refused():
    node = DimseDestination(name="a", host="h", port=1, ae_title="A")
    assert not node.is_confirmed and replace(node, find=True).is_confirmed
    for wrong in ({"port": -1}, {"port": 70000}, {"wait_s": -1.0}, {"patience_s": 0.0}):
        with pytest.raises(InputError):
            Commitment(**wrong)
    assert replace(node, qido=WebAccess(url="https://a.example")).is_confirmed
