"""Between MONAI Label's endpoints and its clients: requests are checked before they reach the stock code.

The stock endpoints answer 500 for a parameter that is no JSON, a model or a strategy that does not exist, and leave
uploads behind when they fail; and they run in the server's one loop, so that everybody waits for an inference. Here
each of them is wrapped: it gets checked values, runs in a thread, and cleans up after itself.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute
from monailabel.config import settings
from monailabel.endpoints import (
    activelearning,
    batch_infer,
    datastore,
    infer,
    info,
    logs,
    model,
    scoring,
    session,
    train,
    wsi_infer,
)
from monailabel.interfaces.app import MONAILabelApp
from renalct.core.errors import InputError
from renalct.formats.case_notes import stem_of
from renalct.learning.pre_labels import wanted_of
from starlette.background import BackgroundTask

from lib.failures import told_to_the_client
from lib.uploads import came_as

_CHECKED = (activelearning, batch_infer, datastore, infer, info, logs, model, scoring, session, train, wsi_infer)
_JSON = ("params", "info")
_OWN_KEYS = ("image", "model", "session", "save_label", "label_tag")
_DATASET = "/datastore/dataset"
_MOST_NAME_BYTES = 200  # disks take 255


def install(server: FastAPI, app: MONAILabelApp, *, most_bytes: int) -> None:
    """Put a wrapped endpoint in front of each stock one, before the server starts; the first that fits wins."""
    server.router.routes[:0] = [
        APIRoute(
            f"{settings.MONAI_LABEL_API_STR}{route.path}",
            _checked(route.endpoint, route.path, app, most_bytes),
            methods=route.methods,
            name=route.name,
            summary=route.summary,
            tags=route.tags,
            include_in_schema=False,
        )
        for module in _CHECKED
        for route in module.router.routes
        if isinstance(route, APIRoute)
    ]


def _checked(endpoint: Callable[..., Any], path: str, app: MONAILabelApp, most_bytes: int) -> Callable[..., Any]:
    def answer(**values: Any) -> Any:
        try:
            with told_to_the_client():
                _check(values, path, app, most_bytes)
                found = _finished(endpoint(**values))
                if path == _DATASET:
                    found.background = BackgroundTask(Path(found.path).unlink, missing_ok=True)
                return found
        except BaseException as error:
            for task in getattr(values.get("background_tasks"), "tasks", ()):
                task.func(*task.args, **task.kwargs)
            if isinstance(error, FileNotFoundError):
                raise HTTPException(HTTPStatus.NOT_FOUND, detail="there is no such file on this server") from error
            raise

    answer.__signature__ = inspect.signature(endpoint)  # type: ignore[attr-defined]
    answer.__doc__ = endpoint.__doc__
    return answer


def _finished(coroutine: Any) -> Any:
    """What a stock endpoint returns: all of them are coroutines that never wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("an endpoint of MONAI Label waits for something; it must not be wrapped")


def _check(values: dict[str, Any], path: str, app: MONAILabelApp, most_bytes: int) -> None:
    """Raise for what the stock code would stumble over."""
    if path == "/model/{model}" and "file" in values:
        raise InputError("weights are not sent to this server; publish a release with `renalct registry`")
    for key in _JSON:
        if isinstance(values.get(key), str):
            _refuse_unless_object(values[key], key)
        elif isinstance(values.get(key), dict):
            _refuse_unless_text(values[key], key)
    fields = [field for field in ("file", "label") if getattr(values.get(field), "filename", None) is not None]
    sent = {field: values[field] for field in fields}
    for upload in (*sent.values(), *(values.get("files") or ())):
        _check_upload(upload, most_bytes)
    came_as({field: upload.filename for field, upload in sent.items()})
    if path.startswith("/datastore") and "file" in sent and not values.get("image"):
        values["image"] = stem_of(Path(sent["file"].filename))
    if (values.get("limit_cases") or 0) < 0:
        raise InputError(f"limit_cases is {values['limit_cases']}; it is 0 or more")
    if values.get("uncompress"):
        raise InputError("files are not unpacked by this server; send them as they are, or one zip")
    if path.startswith("/infer/wsi"):
        raise InputError("this server has no models for whole-slide images; ask /infer/renalct about a CT")
    if path.startswith("/infer"):
        _check_inference(values, app)
    if path in ("/infer/{model}", "/batch/infer/{model}"):
        _refuse_unknown(values["model"], app._infers, "model")
    if path == "/batch/infer/{model}":
        whole = next(iter(app._infers))
        if values["model"] != whole:
            raise InputError(f"answers of {values['model']} are no labels and are not kept; ask {whole}")
        wanted_of({"images": values.get("images"), **(values.get("params") or {})}).of(app.desk)
    if path == "/train/{model}":
        _refuse_unknown(values["model"], app._trainers, "trainer")
    if path == "/scoring/{method}":
        _refuse_unknown(values["method"], app._scoring_methods, "scoring method")


def _check_inference(values: dict[str, Any], app: MONAILabelApp) -> None:
    if not values.get("image") and not values.get("session_id") and not getattr(values.get("file"), "filename", ""):
        raise InputError("no image is named or sent; name one of the store, or send a file")
    if values.get("image") and values["image"] not in app.desk.images():
        app.desk.image(values["image"])
    if values.get("session_id") and app.sessions().get_session(values["session_id"], update_ts=False) is None:
        raise InputError("there is no session of that name any more; send the image again")
    if str(getattr(values.get("label"), "filename", "")).lower().endswith(".bin"):
        raise InputError("voxels without a header (.bin) are not read; send the labels as .nii.gz or .nrrd")
    if values.get("output") == "dicom_seg":
        raise InputError("dicom_seg is no answer of this server; save the label, and its SEG goes to the archive")
    asked = json.loads(values.get("params") or "{}")
    mine = sorted(set(asked) & set(_OWN_KEYS))
    if mine:
        raise InputError(f"the parameter {mine[0]!r} cannot be set in params; name it in the address")


def _check_upload(upload: Any, most_bytes: int) -> None:
    upload.filename = re.split(r"[/\\]", upload.filename or "")[-1]  # 3D Slicer's module sends the whole path
    name = upload.filename
    if not name or not name.isprintable() or name in (".", "..") or len(name.encode()) > _MOST_NAME_BYTES:
        raise InputError("the name of the uploaded file cannot be used; use letters, digits, '.', '_' and '-'")
    if (upload.size or 0) > most_bytes:
        detail = f"{upload.filename} has {upload.size} bytes; {most_bytes} are the most that is taken"
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail=detail)


def _refuse_unless_object(text: str, key: str) -> None:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{key} is no JSON; send an object") from error
    if not isinstance(found, dict):
        raise InputError(f"{key} is no JSON object but a {type(found).__name__}; send an object")
    _refuse_unless_text(found, key)


def _refuse_unless_text(found: dict[str, Any], key: str) -> None:
    """Raise for halves of characters, which JSON can hold and nothing else can."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{key} holds characters that are no text; send the others alone") from error


def _refuse_unknown(name: str, known: dict[str, Any], what: str) -> None:
    if name not in known:
        listed = ", ".join(known) or "none"
        raise HTTPException(HTTPStatus.NOT_FOUND, detail=f"there is no {what} {name!r}; this server has {listed}")
