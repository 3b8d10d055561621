"""The one place where the server turns a failure of renalct into an answer."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from fastapi import HTTPException
from monailabel.interfaces.exception import MONAILabelException
from renalct.core.errors import InputError, OutputError, RenalctError, TransferError

_logger = logging.getLogger(__name__)


@contextmanager
def told_to_the_client() -> Iterator[None]:
    """Within it, what renalct refuses becomes an answer whose detail is the sentence.

    400 for what was sent, 507 for a disk that is full, 502 for an archive that does not answer, else 500.
    """
    try:
        yield
    except OutputError as error:
        raise HTTPException(HTTPStatus.INSUFFICIENT_STORAGE, detail=str(error)) from error
    except InputError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, detail=str(error)) from error
    except TransferError as error:
        raise HTTPException(HTTPStatus.BAD_GATEWAY, detail=str(error)) from error
    except RenalctError as error:
        raise HTTPException(HTTPStatus.INTERNAL_SERVER_ERROR, detail=str(error)) from error
    except MONAILabelException as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, detail=error.msg) from error


@contextmanager
def told_in_the_log() -> Iterator[None]:
    """Within it, what renalct refuses ends a process of its own, with the sentence as the last line of its log.

    A client may wait for the same work in a thread of the server: there it becomes an answer.
    """
    try:
        yield
    except RenalctError as error:
        if threading.current_thread() is not threading.main_thread():
            raise
        _logger.error(str(error))
        sys.exit(error.exit_code)
