"""A label server with users who log in, without models: who may do what, under whose name, and reviewing alone."""

import gzip
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import jwt
import nibabel as nib
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from label_server import label_server
from renalct.learning.store import LabelStore
from renalct.learning.users import Role, UserFile

PASSWORD = "correct horse"
PEOPLE = {"ann": Role.ANNOTATOR, "rev": Role.REVIEWER, "boss": Role.ADMIN}
AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])


def row(values, dtype=np.uint8) -> bytes:
    return gzip.compress(nib.Nifti1Image(np.array(values, dtype).reshape(-1, 1, 1), AFFINE).to_bytes(), mtime=0)


@pytest.fixture(scope="module")
def realm():
    """An identity provider: the address of its realm, and the key that signs its tokens."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    class Realm(BaseHTTPRequestHandler):
        def do_GET(self):
            import base64

            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"public_key": base64.b64encode(public).decode()}).encode())

        def log_message(self, *_):
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Realm) as provider:
        threading.Thread(target=provider.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{provider.server_port}/realm", key
        provider.shutdown()


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Two images that MONAI Label's own server had labelled before: one label can be understood, one cannot."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "labels" / "final").mkdir(parents=True)
    objects = {}
    for name, label in (("old one", [2, 1, 0, 0]), ("odd one", [9, 0, 0, 0]), ("new one", None)):
        (folder / f"{name}.nii.gz").write_bytes(row([-100] * 4, np.int16))
        if label:
            (folder / "labels" / "final" / f"{name}.nii.gz").write_bytes(row(label))
            info = {"label_info": [{"name": "cyst", "idx": 1}, {"name": "kidney", "idx": 2}], "client_id": "long ago"}
            objects[name] = {
                "image": {"ext": ".nii.gz", "info": {}},
                "labels": {"final": {"ext": ".nii.gz", "info": info}},
            }
    store = {"name": "x", "description": "x", "images_dir": ".", "labels_dir": "labels", "objects": objects}
    (folder / "datastore_v2.json").write_text(json.dumps(store))
    return folder


@pytest.fixture(scope="module")
def server(studies, tmp_path_factory, activated, realm):
    place = tmp_path_factory.mktemp("app")
    users = UserFile(place / "users.json")
    for name, role in PEOPLE.items():
        users.add(name, PASSWORD, (role,))
    environment = {**activated, "MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": realm[0]}
    with label_server(place, studies, environment, {"users": users.path, "models": "none"}) as client:
        yield client


@pytest.fixture(scope="module")
def tokens(server) -> dict[str, dict[str, str]]:
    """The headers of everybody, after they logged in as 3D Slicer's module does it."""
    found = {}
    for name in PEOPLE:
        form = {"username": name, "password": PASSWORD, "grant_type": "password"}
        token = server.post("/auth/token", data=form).json()
        found[name] = {"Authorization": f"{token['token_type']} {token['access_token']}"}
    return found


def save(server, headers, **more):
    params = {"label_info": [{"name": "kidney", "idx": 1}], "client_id": "somebody else", **more}
    return server.put(
        "/datastore/label", params={"image": "new one"}, headers=headers,
        data={"params": json.dumps(params)}, files={"label": ("label.nii.gz", row([1, 1, 0, 0]))},
    )  # fmt: skip


def verdict(server, headers, status):
    meta = {"status": status, "approvedBy": "somebody else", "level": "", "comment": "", "editTime": 1}
    where = {"label": "new one", "tag": "final"}
    form = {"params": json.dumps({"segmentationMeta": meta})}
    return server.put("/datastore/updatelabelinfo", params=where, data=form, headers=headers)


def test_nobody_enters_without_a_token(server):
    assert server.get("/auth/").json()["enabled"] is True
    assert server.get("/info/").status_code == httpx.codes.UNAUTHORIZED
    for token in ("x", "a.b.c"):
        headers = {"Authorization": f"bearer {token}"}
        assert server.get("/info/", headers=headers).status_code == httpx.codes.UNAUTHORIZED


def test_a_wrong_password_is_told_and_gives_no_token(server):
    answer = server.post("/auth/token", data={"username": "ann", "password": "wrong", "grant_type": "password"})
    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert "wrong" in answer.json()["detail"]


def test_a_token_is_valid_and_says_who_it_is_for(server, tokens):
    told = server.get("/auth/token/valid", headers=tokens["rev"]).json()
    assert told["username"] == "rev"
    assert "monailabel-reviewer" in told["roles"] and "monailabel-annotator" in told["roles"]
    assert "monailabel-admin" not in told["roles"]


def token_of_the_realm(key, **changes) -> dict[str, str]:
    claims = {
        "preferred_username": "kay",
        "exp": int(time.time()) + 60,
        "realm_access": {"roles": ["monailabel-reviewer"]},
    }
    return {"Authorization": f"Bearer {jwt.encode({**claims, **changes}, key, algorithm='RS256')}"}


def test_a_valid_token_of_an_identity_provider_lets_in(server, realm):
    answer = server.get("/info/", headers=token_of_the_realm(realm[1]))
    assert answer.status_code == httpx.codes.OK, answer.text


@pytest.mark.parametrize(
    "fault", ["expired", "of another key", "without a signature", "signed with the public key", "nameless"]
)
def test_a_forged_or_old_token_lets_nobody_in(server, realm, fault):
    another = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    headers = {
        "expired": lambda: token_of_the_realm(realm[1], exp=int(time.time()) - 60),
        "of another key": lambda: token_of_the_realm(another),
        "without a signature": lambda: {
            "Authorization": "Bearer " + jwt.encode({"sub": "boss"}, None, algorithm="none")
        },
        "signed with the public key": lambda: {
            "Authorization": "Bearer " + jwt.encode({"sub": "boss", "exp": 9e9}, "k" * 32, algorithm="HS256")
        },
        "nameless": lambda: token_of_the_realm(realm[1], preferred_username=None),
    }[fault]()
    assert server.get("/info/", headers=headers).status_code == httpx.codes.UNAUTHORIZED


def test_without_models_there_is_nothing_to_ask_and_labels_can_be_reviewed(server, tokens):
    info = server.get("/info/", headers=tokens["ann"]).json()
    assert (info["models"], info["trainers"], info["scoring"]) == ({}, {}, {})
    assert next(iter(info["strategies"])) == "random"
    answer = server.post("/infer/renalct", params={"image": "new one"}, headers=tokens["ann"])
    assert answer.status_code == httpx.codes.NOT_FOUND and "no model 'renalct'" in answer.json()["detail"]


def test_the_labels_of_monai_label_were_taken_over_and_its_folder_is_as_it_was(server, tokens, studies):
    objects = server.get("/datastore/", params={"output": "all"}, headers=tokens["ann"]).json()["objects"]
    assert objects["old one"]["labels"]["final"]["info"]["client_id"] == "long ago"
    assert objects["odd one"]["labels"] == {}
    content = server.get("/datastore/label", params={"label": "old one", "tag": "final"}, headers=tokens["ann"]).content
    values = nib.Nifti1Image.from_bytes(gzip.decompress(content)).get_fdata().ravel().tolist()
    assert values == [1, 3, 0, 0]
    assert (studies / "labels" / "final" / "old one.nii.gz").read_bytes() == row([2, 1, 0, 0])


def test_the_author_of_a_label_is_who_logged_in_and_the_time_it_took_is_kept(server, tokens, studies):
    sample = server.post("/activelearning/random", json={"client_id": "somebody else"}, headers=tokens["ann"]).json()
    assert sample["id"] in ("new one", "odd one")
    server.post("/activelearning/case", json={"case": "new one"}, headers=tokens["ann"])
    assert save(server, tokens["ann"]).status_code == httpx.codes.OK
    store = LabelStore(studies / "renalct" / "labels")
    note = store.final("new one").note
    assert note.author == "ann"
    assert 0 <= note.seconds < 600
    assert {"lease", "commit"} <= {entry.action for entry in store.audit(by="ann", image_id="new one")}


def test_only_a_reviewer_approves_and_whoever_logged_in_is_named(server, tokens, studies):
    save(server, tokens["ann"])
    refused = verdict(server, tokens["ann"], "approved")
    assert refused.status_code == httpx.codes.BAD_REQUEST and "no reviewer" in refused.json()["detail"]
    assert verdict(server, tokens["ann"], "flagged").status_code == httpx.codes.OK
    assert verdict(server, tokens["rev"], "approved").status_code == httpx.codes.OK
    review = LabelStore(studies / "renalct" / "labels").review("new one")
    assert (review.state.value, review.by) == ("approved", "rev")


def test_only_an_admin_starts_trainings_and_deletes(server, tokens):
    for method, path in (("POST", "/train/renalct"), ("DELETE", "/datastore/label?id=new one&tag=final")):
        assert server.request(method, path, headers=tokens["rev"]).status_code == httpx.codes.FORBIDDEN
    assert server.post("/train/renalct", headers=tokens["boss"]).status_code == httpx.codes.NOT_FOUND
