"""Names that came from outside, checked: image ids, tags, suffixes; and safe file names made of them.

An id never becomes a path: files in the store are named by their content.
"""

from __future__ import annotations

import re
from hashlib import sha256
from urllib.parse import quote

from renalct.core.errors import InputError

LONGEST_ID = 512
_LONGEST_FILE_NAME = 200
_SHOWN = 80
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SUFFIX = re.compile(r"(\.[A-Za-z0-9]{1,10}){1,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def checked_id(image_id: str) -> str:
    """The id itself. Raises `InputError` for one that is empty, too long, no text, or that walks out of a folder."""
    if not isinstance(image_id, str) or not image_id.strip():
        raise InputError("the image id is empty; give the id under which the image is registered")
    if len(image_id) > LONGEST_ID:
        raise InputError(f"the image id has {len(image_id)} characters; {LONGEST_ID} are the most that are kept")
    if any(not c.isprintable() for c in image_id):
        raise InputError(f"the image id {shown(image_id)} holds characters that are no text; use letters and digits")
    if ".." in re.split(r"[/\\]", image_id) or image_id[0] in "/\\" or image_id == ".":
        raise InputError(f"the image id {shown(image_id)} is a path out of the folder of images; use a plain name")
    return image_id


def checked_tag(tag: str) -> str:
    """The tag itself. Raises `InputError` unless it is a plain word."""
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        raise InputError(f"{shown(tag)} cannot be the tag of a label; use a plain word, for example 'final'")
    return tag


def checked_suffix(suffix: str) -> str:
    """The suffix itself. Raises `InputError` unless it is the ending of a file name, for example ``.nii.gz``."""
    if not isinstance(suffix, str) or not _SUFFIX.fullmatch(suffix):
        raise InputError(f"{shown(suffix)} cannot be the ending of a label file; use one like '.nii.gz'")
    return suffix


def checked_sha256(digest: str, what: str) -> str:
    """The digest itself. Raises `InputError` unless it is a sha256 in hexadecimal digits, or empty."""
    if digest and not _SHA256.fullmatch(digest):
        raise InputError(f"the sha256 of {what} is {shown(digest)}; 64 hexadecimal digits are needed, or nothing")
    return digest


def shown(text: object) -> str:
    """A text from outside as it may stand in a message: quoted, escaped, and not long."""
    words = ascii(text)
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}... ({len(words)} characters)"


def safe_file_name(image_id: str, ending: str) -> str:
    """A file name for an id: letters, digits, spaces, ``.``, ``_`` and ``-`` stand as they are, all else is quoted.

    Different ids give different names; one that would be too long is cut, and ends with a part of its sha256.

    >>> safe_file_name("../scan.nii.gz_v2 é", ".final.1.nii.gz")
    '%2E.%2Fscan.nii.gz_v2 %C3%A9.final.1.nii.gz'
    """
    name = quote(image_id, safe=" ")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) + len(ending) > _LONGEST_FILE_NAME:
        digest = sha256(image_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = f"{name[: _LONGEST_FILE_NAME - len(ending) - len(digest) - 1]}-{digest}"
    return name + ending
