"""What the stock packager makes of `deploy/`: every path, label, variable, manifest and digest, without docker."""

import hashlib
import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import jsonschema
import pytest
from kept_context import ROOT, kept_context, packager
from renalct import __version__
from renalct.core.errors import ReleaseError
from renalct.models.release import STARTER, load_release, read_card

from packager.bom import NAME, bill_of_materials, installed_packages
from packager.lockfile import read_lock
from packager.stock import Package

VARIABLES = {
    "HOLOSCAN_INPUT_PATH": "/var/holoscan/input",
    "HOLOSCAN_OUTPUT_PATH": "/var/holoscan/output",
    "HOLOSCAN_WORKDIR": "/var/holoscan",
    "HOLOSCAN_APPLICATION": "/opt/holoscan/app",
    "HOLOSCAN_TIMEOUT": "0",
    "HOLOSCAN_MODEL_PATH": "/opt/holoscan/models",
    "HOLOSCAN_DOCS_PATH": "/opt/holoscan/docs",
    "HOLOSCAN_CONFIG_PATH": "/var/holoscan/app.yaml",
    "HOLOSCAN_APP_MANIFEST_PATH": "/etc/holoscan/app.json",
    "HOLOSCAN_PKG_MANIFEST_PATH": "/etc/holoscan/pkg.json",
    "HOLOSCAN_LOGS_PATH": "/var/holoscan/logs",
    "HOLOSCAN_VERSION": "4.2.0",
}
COPIES = {
    "tools": "/var/holoscan/tools",
    "pip/requirements.txt": "/tmp/requirements.txt",
    "models": "/opt/holoscan/models",
    "map/app.json": "/etc/holoscan/app.json",
    "map/pkg.json": "/etc/holoscan/pkg.json",
    "app.config": "/var/holoscan/app.yaml",
    "app": "/opt/holoscan/app",
}
MANIFESTS = ("kubernetes", "argo", "compose", "workflow-manager")
NEEDED = ("bom-1.6", "spdx", "jsf-0.82")
DOCKERFILES = ("Dockerfile", "Dockerfile.cpu")
PICKLE = re.compile(rb"\A(?:\x80[\x02-\x05]|PK\x03\x04|\x93NUMPY)")
SECRETS = {
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a key of a cloud": re.compile(rb"\bAKIA[0-9A-Z]{16}\b"),
    "a token": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|glpat-[\w-]{20}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+)"),
    "a password in an address": re.compile(rb"\b[a-z]+://[^\s/:@{}$\"']+:[^\s/@{}$\"']+@"),
    "a password": re.compile(rb"(?i)\bpassword[\"']?\s*[:=]\s*[\"'][^\"'${\s]{3,}[\"']"),
}


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Path:
    return kept_context(tmp_path_factory.mktemp("map"))


@pytest.fixture(params=DOCKERFILES)
def dockerfile(context, request) -> str:
    """The packager's own file, and the one for a CPU image."""
    return (context / request.param).read_text()


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def words(text: str, instruction: str) -> list[str]:
    """What stands behind an instruction of a Dockerfile, wherever it does."""
    return re.findall(rf"^{instruction}\s+(.+)$", text, re.MULTILINE)


def loadable(paths) -> list[str]:
    """Names of files that a program could load as pickles: by what they begin with, not by how they are called."""
    return [path.name for path in paths if PICKLE.match(path.read_bytes()[:8])]


def secrets_in(data: bytes) -> list[str]:
    return [kind for kind, pattern in SECRETS.items() if pattern.search(data)]


# The command


def test_the_command_is_the_stock_one_with_our_manifest_of_artifacts():
    assert Package().command() == [
        *("monai-deploy", "package", str(ROOT / "deploy"), "-c", str(ROOT / "app.yaml")),
        *("-m", str(ROOT / "apps" / "renalct" / "releases"), "-t", f"renalct:{__version__}"),
        *("--platform", "x86_64", "--source", str(ROOT / "packager" / "artifacts.json")),
    ]


def test_a_configuration_that_the_packager_refuses_gives_one_sentence(tmp_path):
    done = packager("context", "--folder", str(tmp_path), "--tag", "Not a tag!")
    assert done.returncode == 2
    assert "the packager made no build context" in done.stdout + done.stderr
    assert not (tmp_path / "context").exists()


# Layout, labels, variables, entry point


def test_every_file_is_copied_from_where_it_is_to_where_a_map_has_it(context, dockerfile):
    copies = dict(line.split() for line in words(dockerfile, "COPY"))
    assert {source.removeprefix("./"): target for source, target in copies.items()} == COPIES
    assert all((context / source).exists() for source in copies)


def test_the_variables_are_those_of_a_map(dockerfile):
    told = dict(line.split("=", 1) for line in words(dockerfile, "ENV"))
    assert {name: value for name, value in told.items() if name.startswith("HOLOSCAN_")} == VARIABLES


def test_the_labels_name_the_image_its_version_and_both_kits(dockerfile):
    labels = dict(line.split("=", 1) for line in words(dockerfile, "LABEL"))
    assert labels.pop("base").strip('"') in dockerfile.split("FROM ")[1]
    assert labels == {
        "tag": f'"renalct:{__version__}"',
        "org.opencontainers.image.title": '"renalct"',
        "org.opencontainers.image.version": f'"{__version__}"',
        "org.nvidia.holoscan": '"4.2.0"',
        "org.monai.deploy.app-sdk": '"4.0.0"',
    }


def test_the_entry_point_is_the_packagers_own_script(context, dockerfile):
    assert words(dockerfile, "ENTRYPOINT") == ['["/var/holoscan/tools"]']
    assert (context / "tools").read_text().startswith("#!/bin/bash")


def test_app_json_says_what_goes_in_and_what_comes_out(context):
    app = json.loads((context / "map" / "app.json").read_text())
    environment = app.pop("environment")
    relative = {"HOLOSCAN_INPUT_PATH": "input/", "HOLOSCAN_OUTPUT_PATH": "output/"}
    assert environment == {name: (VARIABLES | relative)[name] for name in environment}
    assert len(environment) == len(VARIABLES) - 2, "all but the version and the time-out"
    assert app == {
        "apiVersion": "1.0.0",
        "command": '["python3", "/opt/holoscan/app"]',
        "input": {"path": "input/", "formats": [{"data": "dicom", "modality": "CT"}]},
        "output": {
            "path": "output/",
            "formats": [{"data": "dicom", "modality": modality} for modality in ("SEG", "SR", "OT", "KO")],
        },
        "liveness": None,
        "readiness": None,
        "sdk": "monai-deploy",
        "sdkVersion": "4.0.0",
        "timeout": 0,
        "version": __version__,
        "workingDirectory": "/var/holoscan",
    }


def test_pkg_json_names_the_models_and_what_they_need(context):
    assert json.loads((context / "map" / "pkg.json").read_text()) == {
        "apiVersion": "1.0.0",
        "applicationRoot": "/opt/holoscan/app",
        "modelRoot": "/opt/holoscan/models",
        "models": {"starter": "/opt/holoscan/models/starter"},
        "resources": {"cpu": 2, "gpu": 0, "memory": "8Gi"},
        "version": __version__,
        "platformConfig": "dgpu",
    }


# Models


def test_the_digests_of_the_models_are_those_of_the_card_and_the_release_loads(context):
    folder = context / "models" / "starter"
    card = read_card(folder)
    assert card.files
    for file in card.files:
        assert hashlib.sha256((folder / file.name).read_bytes()).hexdigest() == file.sha256
    assert {path.name for path in folder.iterdir()} == {"release.json", *(file.name for file in card.files)}
    assert load_release(folder).digest == load_release(STARTER).digest


def test_one_changed_byte_of_a_weight_file_is_found_before_it_is_used(context, tmp_path):
    for path in (context / "models" / "starter").iterdir():
        tmp_path.joinpath(path.name).write_bytes(path.read_bytes())
    weights = next(tmp_path.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ReleaseError, match="sha256"):
        load_release(tmp_path)


# What is in the application's folder


def test_the_whole_package_is_in_the_application(context):
    ours = ROOT / "apps" / "renalct"
    there = context / "app" / "renalct"
    kept = [path.relative_to(ours) for path in files_below(ours) if not {"__pycache__"} & set(path.parts)]
    assert [path.relative_to(there) for path in files_below(there)] == kept
    assert all((there / path).read_bytes() == (ours / path).read_bytes() for path in kept)


def test_the_applications_own_package_is_the_one_that_it_imports(context):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import renalct; print(renalct.__file__)"
    command = [sys.executable, "-S", "-c", code, str(context / "app")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=context).stdout
    assert told.strip() == str(context / "app" / "renalct" / "__init__.py")


def test_nothing_in_the_application_hides_a_module_of_python_or_of_a_package_in_the_image(context):
    in_image = {locked.name.replace("_", "-") for locked in read_lock(context / "pip" / "requirements.txt")}
    taken = set(sys.stdlib_module_names)
    for name, owners in packages_distributions().items():
        if in_image & {owner.lower().replace("_", "-") for owner in owners}:
            taken.add(name)
    assert {"torch", "packaging", "yaml", "operator"} <= taken
    names = {path.stem if path.is_file() else path.name for path in (context / "app").iterdir()}
    assert {"app", "operators", "renalct"} <= names
    assert not names & taken


def test_manifests_beside_the_application_hold_no_module(context):
    assert not [path for path in files_below(context / "app") if path.suffix == ".py" and path.parts[-2] in MANIFESTS]
    assert all((context / "app" / name / "README.md").is_file() for name in MANIFESTS)


# Nothing that should not be there


def test_no_file_of_the_context_is_a_pickle_or_an_archive(context):
    assert loadable(files_below(context)) == []


@pytest.mark.parametrize("data", [b"\x80\x04\x95\x00", b"PK\x03\x04\x00", b"\x93NUMPY\x01"])
def test_a_pickle_is_found_whatever_its_name_is(tmp_path, data):
    (path := tmp_path / "weights.safetensors").write_bytes(data)
    assert loadable([path]) == ["weights.safetensors"]


def test_no_file_of_the_context_holds_a_secret_or_a_place_of_who_made_it(context):
    home = str(ROOT).encode()
    for path in files_below(context):
        data = path.read_bytes()
        assert secrets_in(data) == [], path
        assert home not in data, path


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN RSA PRIVATE KEY-----",
        b"key = AKIA" + b"A" * 16,
        b"token: ghp_" + b"a" * 36,
        b"--extra-index-url https://me:word@packages.example/simple",
        b'"password": "hunter22"',
    ],
)
def test_a_secret_is_found(text):
    assert len(secrets_in(text)) == 1


def test_a_password_that_comes_from_the_environment_is_no_secret():
    assert secrets_in(b'"password": "${ORTHANC_PASSWORD}"') == []


# The bill of materials


@pytest.fixture(scope="module")
def schema():
    """The validator of CycloneDX 1.6, with the schemas that cyclonedx-python-lib brings."""
    import cyclonedx.schema as shipped

    folder = Path(shipped.__file__).parent / "_res"
    schemas = [json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text()) for name in NEEDED]
    store = {text["$id"].replace(".schema", ".SNAPSHOT.schema"): text for text in schemas}  # as they name each other
    return jsonschema.Draft7Validator(schemas[0], resolver=jsonschema.RefResolver.from_schema(schemas[0], store=store))


@pytest.fixture(scope="module")
def bill(context) -> dict:
    """The bill that is in the image."""
    return json.loads((context / "app" / NAME).read_text())


def test_the_bill_is_cyclonedx(bill, schema):
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert [error.message for error in schema.iter_errors(bill)] == []


@pytest.mark.parametrize(
    "change", [{"bomFormat": "SPDX"}, {"serialNumber": "1"}, {"components": [{"name": "torch"}]}, {"colour": "red"}]
)
def test_a_bill_that_is_not_cyclonedx_is_found(bill, schema, change):
    assert list(schema.iter_errors(bill | change))


def test_the_bill_names_every_locked_package_and_every_weight_file(bill, context):
    parts = {part["bom-ref"]: part for part in bill["components"]}
    for locked in read_lock(context / "pip" / "requirements.txt"):
        reference = [ref for ref in parts if ref.startswith(f"pkg:pypi/{locked.name}@")]
        assert len(reference) == 1 and parts[reference[0]]["version"] == locked.version
    model = parts["model:starter"]
    assert model["type"] == "machine-learning-model"
    told = {part["name"]: part["hashes"] for part in model["components"]}
    assert told == {
        file.name: [{"alg": "SHA-256", "content": file.sha256}] for file in read_card(context / "models/starter").files
    }
    needed = {entry["ref"]: set(entry.get("dependsOn", ())) for entry in bill["dependencies"]}
    assert needed["renalct"] == set(parts)


def test_the_bill_that_is_kept_beside_the_lock_is_of_this_lock():
    deploy = ROOT / "deploy"
    made = bill_of_materials(deploy / "requirements.txt")
    assert (deploy / NAME).read_text() == made, "run `python -m packager bill`"


def test_the_same_materials_give_the_same_bill_and_others_another_number(tmp_path):
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"torch==1.0 --hash=sha256:{'0' * 64}\n")
    first, again = bill_of_materials(lock), bill_of_materials(lock)
    lock.write_text(f"torch==1.1 --hash=sha256:{'0' * 64}\n")
    assert first == again
    assert json.loads(first)["serialNumber"] != json.loads(bill_of_materials(lock))["serialNumber"]


def test_a_wheel_that_the_lock_knows_has_its_digest_in_the_bill(tmp_path):
    (wheels := tmp_path / "wheels").mkdir()
    (wheels / "made-1.0-py3-none-any.whl").write_bytes(b"made")
    digest = hashlib.sha256(b"made").hexdigest()
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"made==1.0 --hash=sha256:{digest} --hash=sha256:{'0' * 64}\n")
    part = json.loads(bill_of_materials(lock, wheels=wheels))["components"][0]
    assert part["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_debians_packages_are_listed_when_they_are_installed(tmp_path, schema):
    status = tmp_path / "status"
    status.write_text(
        "Package: jq\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.6-2.1\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    )
    assert [package.name for package in installed_packages(status)] == ["jq"]
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"made==1.0 --hash=sha256:{'0' * 64}\n")
    bill = json.loads(bill_of_materials(lock, dpkg_status=status))
    assert not list(schema.iter_errors(bill))
    assert "pkg:deb/debian/jq@1.6-2.1?arch=amd64&distro=debian-12" in {part["purl"] for part in bill["components"]}
