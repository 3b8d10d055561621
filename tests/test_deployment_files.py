"""The files that a hospital starts from: Kubernetes, Argo, compose, and the MONAI Deploy Workflow Manager.

Each is validated against its schema where a package has one, and always for what keeps an analysis shut in.
"""

import argparse
import json
import re
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose
from hera.workflows.models import WorkflowTemplate
from renalct import __version__
from renalct.commands import serve
from renalct.core.errors import ErrorCode, InputError, ReleaseError
from renalct.delivery.destinations import DimseDestination, read_destinations

DEPLOY = Path(__file__).parents[1] / "deploy"
KUBERNETES, ARGO, COMPOSE, MANAGER = (DEPLOY / name for name in ("kubernetes", "argo", "compose", "workflow-manager"))
MANIFESTS = ("job.yaml", "network-policy.yaml", "volumes.yaml")
COMMAND = ["python3", "/opt/holoscan/app"]
KUBERNETES_VERSION = "1.37"
INSTALL = "pipx install kubernetes-validate==1.37.0 (its jsonschema is newer than what MONAI Label allows)"
NOT_WORTH_ANOTHER_TRY = [InputError.exit_code, ReleaseError.exit_code]


def manifest(name: str, study: str = "study-1") -> list[dict]:
    """The documents of a Kubernetes file, for a study."""
    return list(yaml.safe_load_all((KUBERNETES / name).read_text().replace("STUDY", study)))


@pytest.fixture
def job() -> dict:
    return manifest("job.yaml")[0]


@pytest.fixture
def template() -> dict:
    return yaml.safe_load((ARGO / "workflow-template.yaml").read_text())


@pytest.fixture
def workflow() -> dict:
    return json.loads((MANAGER / "workflow.json").read_text())


def interpolated(text: str) -> str:
    """A compose file with its variables as compose fills them in when only the required ones are given."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    return re.sub(r"\$\{\w+:\?[^}]*\}", "given", text)


@pytest.fixture
def services() -> dict:
    return yaml.safe_load(interpolated((COMPOSE / "compose.yaml").read_text()))["services"]


def shut_in(pod: dict, container: dict) -> list[str]:
    """What is missing for an analysis that can write its volumes and nothing else."""
    security, own = pod["securityContext"], container["securityContext"]
    asked = {
        "no token": pod.get("automountServiceAccountToken") is False,
        "not root": security["runAsNonRoot"] is True and own["runAsNonRoot"] is True and security["runAsUser"] > 0,
        "read-only root": own["readOnlyRootFilesystem"] is True,
        "no capability": own["capabilities"] == {"drop": ["ALL"]},
        "no privileges": own["allowPrivilegeEscalation"] is False and own["privileged"] is False,
        "seccomp": security["seccompProfile"] == {"type": "RuntimeDefault"},
        "limits": set(container["resources"]["limits"]) >= {"cpu", "memory"},
        "requests": set(container["resources"]["requests"]) >= {"cpu", "memory"},
        "no host": not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
        "no host path": not any("hostPath" in volume for volume in pod["volumes"]),
    }
    return [name for name, holds in asked.items() if not holds]


# Kubernetes


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_valid_by_the_schema_of_kubernetes(name, tmp_path):
    program = shutil.which("kubernetes-validate")
    if program is None:
        pytest.skip(f"needs kubernetes-validate: {INSTALL}")
    (path := tmp_path / name).write_text(yaml.safe_dump_all(manifest(name)))
    command = [program, "-k", KUBERNETES_VERSION, "--strict", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    path.write_text(yaml.safe_dump_all(manifest(name)).replace("spec:", "specification:"))
    assert subprocess.run(command, capture_output=True, timeout=120, check=False).returncode != 0


def test_the_job_shuts_the_analysis_in(job):
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert shut_in(pod, container) == []


@pytest.mark.parametrize(
    ("place", "value", "missing"),
    [
        (("securityContext", "readOnlyRootFilesystem"), False, "read-only root"),
        (("securityContext", "capabilities"), {"drop": ["NET_RAW"]}, "no capability"),
        (("resources", "limits"), {"cpu": "2"}, "limits"),
    ],
)
def test_a_job_that_is_opened_is_found(job, place, value, missing):
    pod = deepcopy(job["spec"]["template"]["spec"])
    pod["containers"][0][place[0]][place[1]] = value
    assert shut_in(pod, pod["containers"][0]) == [missing]


def test_a_refused_study_and_a_damaged_release_are_not_tried_again(job, template):
    rule = job["spec"]["podFailurePolicy"]["rules"][0]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["values"] == NOT_WORTH_ANOTHER_TRY
    assert rule["onExitCodes"]["containerName"] == job["spec"]["template"]["spec"]["containers"][0]["name"]
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never", "a pod failure policy needs it"
    expression = template["spec"]["templates"][0]["retryStrategy"]["expression"]
    assert json.loads(expression.split("not in ")[1]) == NOT_WORTH_ANOTHER_TRY


def test_input_is_read_only_and_the_study_names_both_folders_and_the_job(job):
    pod = job["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert set(mounts) == {"/var/holoscan/input", "/var/holoscan/output"}
    assert mounts["/var/holoscan/input"]["readOnly"] is True
    assert {mount["subPath"] for mount in mounts.values()} == {"study-1"}
    assert job["metadata"]["name"] == "renalct-study-1"
    claims = {volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
    assert claims == {document["metadata"]["name"] for document in manifest("volumes.yaml")}


def test_the_network_policy_selects_the_pods_of_the_job_and_lets_nothing_in_or_out(job):
    (policy,) = manifest("network-policy.yaml")
    chosen = policy["spec"]["podSelector"]["matchLabels"]
    assert chosen.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["spec"]["ingress"] == policy["spec"]["egress"] == []


def test_every_manifest_runs_this_version_with_the_command_of_app_json(job, template, services):
    containers = [job["spec"]["template"]["spec"]["containers"][0], template["spec"]["templates"][0]["container"]]
    for container in containers:
        assert container["image"].endswith(f"/renalct:{__version__}")
        assert container["command"] == COMMAND
    assert services["renalct"]["image"].endswith(f"/renalct:{__version__}")
    assert json.loads((MANAGER / "workflow.json").read_text())["version"] == __version__


# Argo


def test_the_workflow_template_is_one_of_argo_and_every_key_is_known(template):
    model = WorkflowTemplate.model_validate(template)
    assert json.loads(model.model_dump_json(by_alias=True, exclude_unset=True)) == template


@pytest.mark.parametrize(
    "change", [{"entrypointe": "analyse"}, {"automountServiceAccountTokens": False}, {"templates": "analyse"}]
)
def test_a_misspelt_key_or_a_wrong_type_is_found(template, change):
    changed = {**template, "spec": template["spec"] | change}
    try:
        model = WorkflowTemplate.model_validate(changed)
    except ValueError:
        return
    assert json.loads(model.model_dump_json(by_alias=True, exclude_unset=True)) != changed


def test_the_template_shuts_the_analysis_in_and_its_output_is_a_volume(template):
    spec = template["spec"]
    (only,) = spec["templates"]
    assert shut_in(spec, only["container"]) == []
    assert spec["entrypoint"] == only["name"]
    (output,) = only["outputs"]["artifacts"]
    assert output["path"] == only["container"]["volumeMounts"][0]["mountPath"] == "/var/holoscan/output"
    assert only["inputs"]["artifacts"][0]["path"] == "/var/holoscan/input"
    given = {artifact["name"] for artifact in spec["arguments"]["artifacts"]}
    assert given == {artifact["name"] for artifact in only["inputs"]["artifacts"]}


# The MONAI Deploy Workflow Manager: no schema is published, so its own validator's rules are written out


ARGO_ARGUMENTS = {"workflow_template_name", "priority", "cpu", "memory_gb", "gpu_required"}
WORKFLOW_KEYS = {"name", "version", "description", "informatics_gateway", "tasks"}
TASK_KEYS = {
    "id",
    "description",
    "type",
    "args",
    "timeout_minutes",
    "task_destinations",
    "export_destinations",
    "artifacts",
}


def workflow_problems(workflow: dict) -> list[str]:
    """What the validator of the Workflow Manager would refuse."""
    problems = [f"unknown key {key}" for key in set(workflow) - WORKFLOW_KEYS]
    gateway, tasks = workflow["informatics_gateway"], workflow["tasks"]
    if not 0 < len(gateway["ae_title"]) <= 15:
        problems.append("the AE title")
    if len(workflow["name"]) > 15 or len(workflow["description"]) > 200 or not workflow["version"]:
        problems.append("name, version or description")
    names = [task["id"] for task in tasks]
    reached = [to["name"] for task in tasks for to in task.get("task_destinations", [])]
    if len(set(names)) != len(names) or any(not re.fullmatch(r"[A-Za-z0-9_-]{1,50}", name) for name in names):
        problems.append("task ids")
    if sorted(reached) != sorted(names[1:]):
        problems.append("every task but the first is the destination of exactly one, and no other is named")
    for task in tasks:
        problems += [f"unknown key {key}" for key in set(task) - TASK_KEYS]
        inputs = task.get("artifacts", {}).get("input", [])
        if task["type"] != "router" and not (inputs and all(entry["name"] and entry["value"] for entry in inputs)):
            problems.append("input artifacts")
        for entry in inputs:
            used = re.search(r"context\.executions\.([\w-]+)\.artifacts\.([\w-]+)", entry["value"])
            if used:
                made = {a["name"] for t in tasks if t["id"] == used[1] for a in t["artifacts"].get("output", [])}
                problems += [] if used[2] in made else ["an artifact that no task makes"]
            elif "context.input.dicom" not in entry["value"]:
                problems.append("where an artifact comes from")
        to = [entry["name"] for entry in task.get("export_destinations", [])]
        if task["type"] == "export" and (not to or not set(to) <= set(gateway["export_destinations"])):
            problems.append("export destinations")
        if task["type"] == "argo" and not {"workflow_template_name"} <= set(task["args"]) <= ARGO_ARGUMENTS:
            problems.append("arguments of argo")
        if task["type"] not in ("router", "argo", "export"):
            problems.append("task type")
        if any(not isinstance(value, str) for value in task.get("args", {}).values()):
            problems.append("arguments are texts")
    return problems


def test_the_workflow_keeps_the_rules_of_the_workflow_manager(workflow):
    assert workflow_problems(workflow) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda w: w.update(name="a name of 16 chr"), "name, version or description"),
        (lambda w: w["informatics_gateway"].update(ae_title="SIXTEENCHARACTER"), "the AE title"),
        (lambda w: w["informatics_gateway"].update(export_destinations=["OTHER"]), "export destinations"),
        (lambda w: w["tasks"][1]["args"].update(server_url="https://argo"), "arguments of argo"),
        (lambda w: w["tasks"][1]["artifacts"]["output"].clear(), "an artifact that no task makes"),
        (lambda w: w["tasks"][1]["task_destinations"].clear(), "every task but the first is the destination of"),
        (lambda w: w["tasks"][1]["args"].update(cpu=2), "arguments are texts"),
    ],
)
def test_a_workflow_that_the_manager_would_refuse_is_found(workflow, change, problem):
    change(workflow)
    assert [found for found in workflow_problems(workflow) if found.startswith(problem)]


def test_the_workflow_names_the_template_and_its_artifacts(workflow, template):
    (task,) = [task for task in workflow["tasks"] if task["type"] == "argo"]
    assert task["args"]["workflow_template_name"] == template["metadata"]["name"]
    (only,) = template["spec"]["templates"]
    for theirs, ours in (("input", "inputs"), ("output", "outputs")):
        names = {entry["name"] for entry in task["artifacts"][theirs]}
        assert names == {entry["name"] for entry in only[ours]["artifacts"]}


# compose


def compose_problem(text: str) -> str:
    """What the compose specification has against a file; empty where it is valid."""
    try:
        file = PyCompose.from_yaml(interpolated(text))
        file.validate()
        file.to_spec()
    except ValueError as error:
        return str(error)
    return ""


def test_the_compose_file_is_valid_by_the_specification():
    assert compose_problem((COMPOSE / "compose.yaml").read_text()) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("read_only:", "readonly:"), ("networks: [dicom]", "networks: [dicm]"), ("internal: true", "internal: perhaps")],
)
def test_a_compose_file_that_is_not_valid_is_found(right, wrong):
    text = (COMPOSE / "compose.yaml").read_text()
    assert right in text
    assert compose_problem(text.replace(right, wrong))


def test_renalct_is_shut_in_beside_orthanc(services):
    renalct, networks = services["renalct"], yaml.safe_load((COMPOSE / "compose.yaml").read_text())["networks"]
    assert renalct["read_only"] is True and renalct["cap_drop"] == ["ALL"]
    assert renalct["security_opt"] == ["no-new-privileges:true"]
    assert renalct["user"].split(":")[0] != "0"
    assert renalct["networks"] == ["dicom"] and networks["dicom"] == {"internal": True}
    assert "ports" not in renalct and "dicom" in services["orthanc"]["networks"]
    assert renalct["deploy"]["resources"]["limits"] == {"cpus": "2", "memory": "8G"}


def test_the_options_of_serve_are_those_that_it_has(services):
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    command, *words = services["renalct"]["command"]
    assert command == "serve"
    given = parser.parse_args(words)
    mounted = {entry.split(":")[1] for entry in services["renalct"]["volumes"]}
    assert {str(given.folder), str(given.to)} <= mounted
    check = services["renalct"]["healthcheck"]["test"]
    assert parser.parse_args(check[check.index("serve") + 1 :]).status


def test_results_go_back_to_the_orthanc_of_the_file_and_it_may_send(services):
    (orthanc,) = read_destinations(COMPOSE / "destinations.json")
    settings = json.loads((COMPOSE / "orthanc.json").read_text())
    assert isinstance(orthanc, DimseDestination)
    assert (orthanc.host, orthanc.port, orthanc.ae_title) == ("orthanc", settings["DicomPort"], settings["DicomAet"])
    node = settings["DicomModalities"]["renalct"]
    assert (node["AET"], node["Host"], node["Port"]) == (orthanc.calling_ae_title, "renalct", 11112)
    words = services["renalct"]["command"]
    assert words[words.index("--calling") + 1] == settings["DicomAet"]


def test_no_password_is_in_the_files():
    settings = json.loads((COMPOSE / "orthanc.json").read_text())
    assert settings["RegisteredUsers"] == {"${ORTHANC_USER}": "${ORTHANC_PASSWORD}"}
    assert "${ORTHANC_PASSWORD:?" in (COMPOSE / "compose.yaml").read_text(), "compose refuses to start without one"


# Pages


@pytest.mark.parametrize("folder", [KUBERNETES, ARGO, COMPOSE, MANAGER], ids=lambda path: path.name)
def test_each_has_a_page_that_names_every_file_beside_it(folder):
    page = (folder / "README.md").read_text()
    names = sorted(path.name for path in folder.iterdir() if path.name != "README.md")
    assert names and all(f"`{name}`" in page for name in names)
    assert "Not for clinical use" in page


def test_the_exit_codes_are_those_that_the_manifests_act_on():
    assert (ErrorCode.INPUT, InputError.exit_code, ReleaseError.exit_code) == ("input", 2, 3)
