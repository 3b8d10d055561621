"""Replays a conversation of a viewer with a label server: requests as it sends them, and what it relies on.

A conversation is a list of turns: `does` (what the user does), `send` (method, path, query, json, form, files) and
`expect` (status, `has`: a part of the JSON answer, `lacks`: keys that must not be there, `headers`: words in them,
`bytes`: how long an answer of raw NRRD voxels is). `keep` names values of the answer for later turns, where "{name}"
stands for them. A file is [field, name, key of the replay's files].
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).parent / "label_conversation"


def replay(
    name: str, client: httpx.Client, files: Mapping[str, bytes], *, words: Mapping[str, str] | None = None
) -> None:
    """Have the conversation; fails at the turn that is not answered as expected. `words` are replaced in its text."""
    kept: dict[str, str] = {}
    text = (FOLDER / f"{name}.json").read_text()
    for word, value in (words or {}).items():
        text = text.replace(word, value)
    for turn in json.loads(text):
        answer = _sent(client, _filled(turn["send"], kept), files)
        where = f"{name}: {turn['does']}: {answer.status_code} {answer.text[:500]}"
        expected = turn["expect"]
        assert answer.status_code == expected["status"], where
        if {"has", "lacks"} & set(expected) or "keep" in turn:
            told = answer.json()
            _has(told, _filled(expected.get("has", {}), kept), where)
            assert not set(expected.get("lacks", ())) & set(told), where
            kept |= {key: str(told[source]) for key, source in turn.get("keep", {}).items()}
        for header, words in expected.get("headers", {}).items():
            assert _filled(words, kept) in answer.headers[header], where
        if "bytes" in expected:
            header, voxels = answer.content.split(b"\n\n", 1)
            assert b"encoding: raw" in header and b"type: uint8" in header and len(voxels) == expected["bytes"], where


def _sent(client: httpx.Client, turn: dict[str, Any], files: Mapping[str, bytes]) -> httpx.Response:
    form = {key: value if isinstance(value, str) else json.dumps(value) for key, value in turn.get("form", {}).items()}
    attached = [(field, (file, files[key])) for field, file, key in turn.get("files", ())]
    return client.request(
        turn["method"],
        turn["path"],
        params=turn.get("query"),
        json=turn.get("json"),
        data=form or None,
        files=attached or None,
    )


def _filled(value: Any, kept: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, text in kept.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, dict):
        return {key: _filled(part, kept) for key, part in value.items()}
    return [_filled(part, kept) for part in value] if isinstance(value, list) else value


def _has(told: Any, wanted: Any, where: str) -> None:
    """Objects may hold more than is wanted; all else is equal, and objects list their keys in the order wanted."""
    if isinstance(wanted, dict) and isinstance(told, dict):
        assert [key for key in told if key in wanted] == list(wanted), f"{where}: wants {list(wanted)}"
        for key, part in wanted.items():
            _has(told[key], part, where)
    else:
        assert told == wanted, f"{where}: wants {wanted!r}, not {told!r}"
