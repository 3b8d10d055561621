"""Who asks: the user whose token was checked, else the client that a request names."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from monailabel.config import settings
from monailabel.endpoints.user.auth import User
from renalct.core.errors import InputError

ANONYMOUS = "anonymous"
_user: ContextVar[User | None] = ContextVar("user", default=None)


def logged_in(user: User) -> User:
    """The user, from now on and until the end of this request the one who asks."""
    _user.set(user)
    return user


def asking(request: Mapping[str, Any]) -> str:
    """The name under which cases are reserved and labels are kept."""
    user = _user.get()
    return user.username if user else str(request.get("client_id") or ANONYMOUS)


def refuse_unless_reviewer() -> None:
    """Raise `InputError` when users log in, and this one may not judge the labels of others."""
    user = _user.get()
    if user and settings.MONAI_LABEL_AUTH_ROLE_REVIEWER not in user.roles:
        raise InputError(f"{user.username} is no reviewer and cannot approve a label; ask a reviewer")
