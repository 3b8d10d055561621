"""A file of users with hashed passwords and roles, for a label server without an identity provider.

Passwords are kept as scrypt hashes (RFC 7914, with the salt of each user), never as they are. The file may be edited
by hand: {"schema_version": 1, "users": [{"name": "ann", "roles": ["annotator"], "password": "scrypt$..."}]}.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError
from renalct.formats.durable import write_durably

SCHEMA_VERSION = 1
SHORTEST_PASSWORD = 8
TOKEN_HOURS = 12.0
_COST, _BLOCK, _PARALLEL = 1 << 14, 8, 1  # 16 MiB and some 50 ms for each attempt
_MEMORY = 64 << 20
_KEY_BYTES = 32


class Role(Enum):
    """What a user may do. A reviewer may do what an annotator may, an admin everything."""

    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    ADMIN = "admin"

    @property
    def included(self) -> tuple[Role, ...]:
        """This role and those below it."""
        ranks = tuple(Role)
        return ranks[: ranks.index(self) + 1]


@dataclass(frozen=True)
class User:
    """A person who may log in."""

    name: str
    roles: tuple[Role, ...]
    password: str = field(repr=False)

    @property
    def all_roles(self) -> tuple[Role, ...]:
        """The roles of the user with those that they include."""
        return tuple(role for role in Role if any(role in own.included for own in self.roles))


class UserFile:
    """The users of a file, read again whenever it changes. The file must not be readable by others."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path, self._clock = Path(path), clock
        self._seen: tuple[int, Mapping[str, User]] | None = None

    def users(self) -> Mapping[str, User]:
        """The users by name; none where there is no file. Raises `InputError` for a file that cannot be understood."""
        try:
            changed = self.path.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if self._seen is None or self._seen[0] != changed:
            self._seen = changed, _parsed(self.path)
        return self._seen[1]

    def check(self, name: str, password: str) -> User | None:
        """The user of that name when the password is right; else None, after the same time."""
        user = self.users().get(name)
        known = user.password if user else hashed("", salt=b"\0" * 16)
        return user if _matches(password, known) and user else None

    def add(self, name: str, password: str, roles: tuple[Role, ...]) -> User:
        """A new user, or another password and roles for one that is there."""
        if not name.strip() or not name.isprintable() or len(name) > 64:
            raise InputError(f"{name!r} cannot be the name of a user; use a word of up to 64 letters and digits")
        if len(password) < SHORTEST_PASSWORD:
            raise InputError(f"the password is shorter than {SHORTEST_PASSWORD} characters; choose a longer one")
        if not roles:
            raise InputError(f"no role is given; choose among {', '.join(role.value for role in Role)}")
        user = User(name, roles, hashed(password, salt=secrets.token_bytes(16)))
        self._write({**self.users(), name: user})
        return user

    def remove(self, name: str) -> None:
        """Take the right to log in from a user; labels keep their author."""
        if name not in self.users():
            raise InputError(f"there is no user {name!r} in {self.path}")
        self._write({key: user for key, user in self.users().items() if key != name})

    def claims(self, user: User) -> dict[str, Any]:
        """What a token of a user says: who it is, which password it was given for, and until when it is valid."""
        return {"sub": user.name, "fresh": _mark(user), "exp": int(self._clock() + TOKEN_HOURS * 3600)}

    def user_of(self, claims: Mapping[str, Any]) -> User | None:
        """The user of a token's claims; None when there is none any more, or the password was changed."""
        user = self.users().get(str(claims.get("sub", "")))
        return user if user and hmac.compare_digest(str(claims.get("fresh", "")), _mark(user)) else None

    def key(self) -> bytes:
        """The secret with which tokens are signed, made when it is first asked for; several servers share it."""
        path = self.path.with_suffix(".key")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            found = path.read_bytes()
            if len(found) != _KEY_BYTES:
                raise InputError(f"{path} is damaged; remove it, and let everybody log in again") from None
            return found
        with os.fdopen(descriptor, "wb") as file:
            made = secrets.token_bytes(_KEY_BYTES)
            file.write(made)
        return made

    def _write(self, users: Mapping[str, User]) -> None:
        listed = [
            {"name": user.name, "roles": [role.value for role in user.roles], "password": user.password}
            for _, user in sorted(users.items())
        ]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self.path, json.dumps({"schema_version": SCHEMA_VERSION, "users": listed}, indent=1) + "\n")
        self.path.chmod(0o600)
        self._seen = None


def hashed(password: str, *, salt: bytes) -> str:
    """The scrypt hash of a password as text: method, cost, block size, parallelism, salt and key."""
    key = hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=_MEMORY)
    parts = (base64.b64encode(part).decode() for part in (salt, key))
    return "$".join(("scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), *parts))


def _matches(password: str, known: str) -> bool:
    try:
        method, cost, block, parallel, salt, key = known.split("$")
        if method != "scrypt":
            return False
        found = hashlib.scrypt(
            password.encode(), salt=base64.b64decode(salt), n=int(cost), r=int(block), p=int(parallel), maxmem=_MEMORY
        )
        return hmac.compare_digest(found, base64.b64decode(key))
    except ValueError:
        return False


def _mark(user: User) -> str:
    """What changes with the password, and does not tell it."""
    return hashlib.sha256(user.password.encode()).hexdigest()[:16]


def _parsed(path: Path) -> Mapping[str, User]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {data['schema_version']}")
        listed = [
            User(str(entry["name"]), tuple(Role(role) for role in entry["roles"]), str(entry["password"]))
            for entry in data["users"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the users in {path} cannot be read ({error}); write it with `renalct users`") from error
    return {user.name: user for user in listed}
