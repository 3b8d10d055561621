"""The registry of versions: list them, show why one was accepted or refused, publish one, or go back to an earlier."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from renalct.commands.loop_options import (
    add_frozen_options,
    add_gate_options,
    add_name_option,
    add_store_options,
    judging_loop,
    name_of,
)
from renalct.core.errors import InputError
from renalct.learning.loop.candidate_version import judge_release
from renalct.learning.loop.frozen import grow, keep_frozen, read_frozen, renew
from renalct.learning.loop.labelled_cases import labelled_cases
from renalct.learning.loop.loop_status import read_status
from renalct.learning.loop.registry import DECISION, DECISION_TEXT, Publication, Registry, RegistryVersion
from renalct.learning.loop.retrain import frozen_of, judge_of
from renalct.learning.loop.run_inputs import trained_patients
from renalct.models.values import to_json

EPILOG = """examples:
  renalct registry list REGISTRY
  renalct registry show REGISTRY v0003               why it was accepted or refused, with every number
  renalct registry publish REGISTRY v0003
  renalct registry rollback REGISTRY --reason "misses cysts on thin slices"
  renalct registry judge REGISTRY RUN/release --store STORE --images IMAGES
  renalct registry freeze REGISTRY --store STORE --images IMAGES --grow
  renalct predict STUDY --release REGISTRY -o RESULT"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `renalct registry`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, words: str, run_it: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(name, help=words, description=words, allow_abbrev=False)
        added.set_defaults(run_it=run_it)
        added.add_argument("registry", type=Path, metavar="REGISTRY", help="the folder of the versions")
        return added

    for name, words, run_it in (
        ("list", "all versions, and which one is published", _list),
        ("status", "how far a training is", _status),
    ):
        action(name, words, run_it).add_argument("--json", action="store_true", help="as JSON")
    show = action("show", "a version (the published one by default): the decision on it", _show)
    show.add_argument("version", nargs="?", default="", metavar="VERSION")
    show.add_argument("--json", action="store_true", help="as JSON")
    publish = action("publish", "make a version that the gate accepted the published one", _publish)
    publish.add_argument("version", metavar="VERSION")
    publish.add_argument("--despite-the-gate", action="store_true", help="even if it was refused; needs a --reason")
    publish.add_argument("--reason", default="", metavar="TEXT", help="why, for the record")
    rollback = action("rollback", "publish the version again that was live before", _rollback)
    rollback.add_argument("--to", default="", metavar="VERSION", help="another one that was published once")
    rollback.add_argument("--reason", required=True, metavar="TEXT", help="why, for the record")
    judge = action("judge", "put a release from elsewhere through the gate, as a new version", _judge)
    judge.add_argument("release", type=Path, metavar="RELEASE", help="not trained on frozen patients; nobody can tell")
    judge.add_argument("--publish", action="store_true", help="publish it when it is accepted")
    judge.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default), cuda or auto")
    freeze = action("freeze", "choose the frozen validation set, or make a new one of it", _freeze)
    change = freeze.add_mutually_exclusive_group()
    change.add_argument("--grow", action="store_true", help="add patients that no version was trained on")
    change.add_argument("--renew", action="store_true", help="take the labels that its images have now")
    for each in (judge, freeze):
        each.add_argument("--store", type=Path, required=True, metavar="STORE", help="the folder of the label store")
        add_store_options(each)
        add_frozen_options(each)
        add_gate_options(each)
    for each in (publish, rollback, judge, freeze):
        add_name_option(each)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for."""
    if arguments.action not in ("judge", "freeze") and not arguments.registry.is_dir():
        raise InputError(f"there is no registry in {arguments.registry}; renalct retrain makes one")
    done: int = arguments.run_it(arguments)
    return done


def _list(arguments: argparse.Namespace) -> int:
    registry = Registry(arguments.registry)
    versions, history = registry.versions(), registry.history()
    if arguments.json:
        kinds = [to_json(version) | {"state": _state(version, history)} for version in versions]
        print(json.dumps({"schema_version": 1, "versions": kinds, "history": to_json(history)}, indent=1))
        return 0
    for version in versions:
        print(f"{version.name}  {_day(version.added_at)}  {_state(version, history):9}  {version.reason}")
    if not versions:
        print("no version yet")
    return 0


def _state(version: RegistryVersion, history: tuple[Publication, ...]) -> str:
    if history and history[-1].version == version.name:
        return "published"
    if any(each.version == version.name for each in history):
        return "earlier"
    return "accepted" if version.accepted else "refused"


def _show(arguments: argparse.Namespace) -> int:
    registry = Registry(arguments.registry)
    now = registry.current()
    name = arguments.version or (now.version if now else "")
    if not name:
        raise InputError(f"nothing is published in {arguments.registry}; name a version")
    version, place = registry.version(name), registry.place(name)
    if arguments.json:
        decision = place / DECISION
        told = json.loads(decision.read_text(encoding="utf-8")) if decision.exists() else None
        print(json.dumps({"schema_version": 1, "version": to_json(version), "decision": told}, indent=1))
        return 0
    print(f"{version.name} (sha256 {version.digest[:12]}), added {_day(version.added_at)}: {registry.release_of(name)}")
    for each in registry.history():
        if each.version == name:
            print(f"published {_day(each.at)} by {each.by}: {each.reason}")
    text = place / DECISION_TEXT
    print(text.read_text(encoding="utf-8") if text.exists() else version.reason)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    status = read_status(arguments.registry)
    if arguments.json:
        print(json.dumps({"schema_version": 1, **to_json(status)}, indent=1))
        return 0
    print(f"{status.state.value}{': ' if status.message else ''}{status.message}")
    if status.total_epochs:
        print(f"{status.run}: {status.epoch} of {status.total_epochs} steps in {status.seconds:.0f} s")
    for name, value in status.numbers:
        print(f"  {name}: {value:.3f} ({status.version})")
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    registry = Registry(arguments.registry)
    publication = registry.publish(
        arguments.version,
        by=name_of(arguments),
        reason=arguments.reason,
        despite_the_gate=arguments.despite_the_gate,
    )
    print(f"{publication.version} is published")
    return 0


def _rollback(arguments: argparse.Namespace) -> int:
    registry = Registry(arguments.registry)
    publication = registry.rollback(by=name_of(arguments), reason=arguments.reason, to=arguments.to)
    print(f"{publication.version} is published again")
    return 0


def _judge(arguments: argparse.Namespace) -> int:
    loop = judging_loop(arguments, arguments.store)
    judge = judge_of(loop, frozen_of(loop), device=arguments.device)
    by = loop.by if arguments.publish else ""
    found = judge_release(judge, arguments.release, name=arguments.release.name, by=by)
    print((loop.registry.place(found.version.name) / DECISION_TEXT).read_text(encoding="utf-8"))
    print(f"{found.version.name} is {'published' if found.published else 'kept unpublished'}")
    return 0


def _freeze(arguments: argparse.Namespace) -> int:
    loop = judging_loop(arguments, arguments.store)
    before = read_frozen(arguments.registry)
    if before is None or not (arguments.grow or arguments.renew):
        frozen = frozen_of(loop)
    else:
        cases = labelled_cases(loop.store, loop.frozen_states)
        frozen = (
            renew(before, cases)
            if arguments.renew
            else grow(before, cases, loop.freezing, trained_on=trained_patients(loop.registry))
        )
        keep_frozen(arguments.registry, frozen)
    print(f"{len(frozen.cases)} cases of {len(frozen.patients)} patients are frozen, sha256 {frozen.sha256}")
    return 0


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
