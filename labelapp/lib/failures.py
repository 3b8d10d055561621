"""The one place where the server turns a failure of renalct into an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from fastapi import HTTPException
from renalct.core.errors import InputError, RenalctError


@contextmanager
def told_to_the_client() -> Iterator[None]:
    """Within it, what renalct refuses becomes an answer whose detail is the sentence: 400 for input, else 500."""
    try:
        yield
    except InputError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, detail=str(error)) from error
    except RenalctError as error:
        raise HTTPException(HTTPStatus.INTERNAL_SERVER_ERROR, detail=str(error)) from error
