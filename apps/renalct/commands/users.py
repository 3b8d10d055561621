"""List, add and remove the users of a label server who log in with a password."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from renalct.core.errors import InputError
from renalct.learning.users import Role, UserFile

EPILOG = """examples:
  renalct users users.json add ann --role annotator
  renalct users users.json list
  monailabel start_server --app labelapp --studies FOLDER --conf users users.json   (with MONAI_LABEL_AUTH_ENABLE=true)

The password is asked for, or read from the standard input when that is no terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``renalct users``."""
    parser.add_argument("file", type=Path, help="the file of users; it is made when the first one is added")
    parser.add_argument("action", choices=["list", "add", "remove"], help="what to do")
    parser.add_argument("name", nargs="?", help="the user to add, change or remove")
    roles = [role.value for role in Role]
    parser.add_argument("--role", action="append", choices=roles, help="what the user may do (annotator)")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for."""
    users = UserFile(arguments.file)
    if arguments.action == "list":
        for name, user in sorted(users.users().items()):
            print(f"{name}  {', '.join(role.value for role in user.roles)}")
        return 0
    if not arguments.name:
        raise InputError(f"name the user to {arguments.action}: renalct users FILE {arguments.action} NAME")
    if arguments.action == "remove":
        users.remove(arguments.name)
        print(f"removed {arguments.name}")
        return 0
    roles = tuple(Role(role) for role in arguments.role or [Role.ANNOTATOR.value])
    users.add(arguments.name, _password(), roles)
    print(f"added {arguments.name}: {', '.join(role.value for role in roles)}")
    return 0


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        raise InputError("the two passwords differ; try again")
    return password
