"""Who may enter: tokens of an identity provider, or of a local file of users.

MONAI Label 0.8.5 refuses every valid token, because it names no algorithm to `jwt.decode`; its function is replaced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.routing import APIRoute
from fastapi.security import OAuth2PasswordRequestForm
from monailabel.config import settings
from monailabel.endpoints.user import auth
from renalct.core.errors import InputError
from renalct.learning.users import Role, UserFile

from lib.who import logged_in

LOCAL = "HS256"
OF_A_REALM = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"]
_ROLES = {
    Role.ANNOTATOR: (settings.MONAI_LABEL_AUTH_ROLE_USER, settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR),
    Role.REVIEWER: (settings.MONAI_LABEL_AUTH_ROLE_REVIEWER,),
    Role.ADMIN: (settings.MONAI_LABEL_AUTH_ROLE_ADMIN,),
}


def install(app: FastAPI, users: UserFile | None) -> None:
    """Let tokens be understood; with a file of users, passwords too. Raises `InputError` for half a configuration."""
    if users is not None and not settings.MONAI_LABEL_AUTH_ENABLE:
        raise InputError("users are given, and nobody is asked to log in; set MONAI_LABEL_AUTH_ENABLE=true")
    auth.from_token = functools.partial(user_of, users=users)
    if users is not None:
        path = f"{settings.MONAI_LABEL_API_STR}/auth/token"
        app.router.routes.insert(0, APIRoute(path, _log_in_with(users), methods=["POST"], response_model=auth.Token))


def user_of(token: str, users: UserFile | None = None) -> auth.User:
    """The user of a token. Raises `jwt.InvalidTokenError`, which MONAI Label answers with 401."""
    if not settings.MONAI_LABEL_AUTH_ENABLE:
        return auth.DEFAULT_USER
    if users is not None and jwt.get_unverified_header(token).get("alg") == LOCAL:
        claims = jwt.decode(token, users.key(), algorithms=[LOCAL], options={"require": ["exp", "sub"]})
        user = users.user_of(claims)
        if user is None:
            raise jwt.InvalidTokenError("the user is gone, or has another password now")
        return logged_in(auth.User(username=user.name, roles=_names(user.all_roles)))
    key = auth.get_public_key(settings.MONAI_LABEL_AUTH_REALM_URI)
    claims = jwt.decode(token, key, algorithms=OF_A_REALM, options={"verify_aud": False, "require": ["exp"]})
    name = claims.get(settings.MONAI_LABEL_AUTH_TOKEN_USERNAME)
    if not isinstance(name, str) or not name:
        raise jwt.InvalidTokenError("the token names no user")
    email, full = (
        claims.get(key) for key in (settings.MONAI_LABEL_AUTH_TOKEN_EMAIL, settings.MONAI_LABEL_AUTH_TOKEN_NAME)
    )
    return logged_in(auth.User(username=name, email=email, name=full, roles=_told_roles(claims)))


def _told_roles(claims: Any) -> list[str]:
    """The roles in a token, with those that they include; they lie as deep as the setting says (`a#b`)."""
    for key in settings.MONAI_LABEL_AUTH_TOKEN_ROLES.split("#"):
        claims = claims.get(key) if isinstance(claims, dict) else None
    told = [str(role) for role in claims or ()]
    included = [lower for role, names in _ROLES.items() if set(names) & set(told) for lower in role.included]
    return [*told, *_names(tuple(included))]


def _names(roles: tuple[Role, ...]) -> list[str]:
    return [name for role in roles for name in _ROLES[role]]


def _log_in_with(users: UserFile) -> Callable[..., dict[str, str]]:
    """A token for a name and a password, as 3D Slicer's module asks for it."""

    def log_in(form: OAuth2PasswordRequestForm = Depends()) -> dict[str, str]:  # noqa: B008
        user = users.check(form.username, form.password)
        if user is None:
            detail, headers = "the name or the password is wrong", {"WWW-Authenticate": "Bearer"}
            raise HTTPException(status.HTTP_401_UNAUTHORIZED, detail=detail, headers=headers)
        return {"access_token": jwt.encode(users.claims(user), users.key(), algorithm=LOCAL), "token_type": "bearer"}

    log_in.__annotations__["form"] = OAuth2PasswordRequestForm
    return log_in
