"""The files of an archive's images: fetched when they are needed, kept within a bound."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from renalct.core.errors import InputError, TransferError
from renalct.formats.dicom.web import DicomWeb, WebSettings
from renalct.formats.dicom.web_cache import USUAL_BYTES, USUAL_KEEP_S, SeriesCache
from renalct.learning.store import StoredImage


@dataclass(frozen=True)
class FetchedImages:
    """Finds the folder with the files of an image, as `fetched` does; a value that other processes can be given.

    The cache takes `most_bytes`, without what was used within `keep_s` seconds.
    """

    settings: WebSettings
    cache: Path
    most_bytes: int = USUAL_BYTES
    keep_s: float = USUAL_KEEP_S

    def __call__(self, image: StoredImage) -> Path:
        """The folder of an image's files."""
        return fetched(*_opened(self), image)


def fetched(web: DicomWeb, cache: SeriesCache, image: StoredImage) -> Path:
    """The series of an image as it is in the archive, or as it was fetched last while that cannot be asked.

    Raises `InputError` for an image that is no series or that the archive does not hold, and `TransferError` when the
    archive cannot be asked and the series was never fetched.
    """
    if not image.series_instance_uid:
        raise InputError(
            f"the image {image.image_id} is no series of a DICOMweb archive; give the folder that holds the images"
        )
    try:
        return cache.fetch(web, image.study_instance_uid, image.series_instance_uid)
    except TransferError:
        folder = cache.newest(image.series_instance_uid)
        if folder is None:
            raise
        return folder


@lru_cache(maxsize=4)
def _opened(images: FetchedImages) -> tuple[DicomWeb, SeriesCache]:
    """The client and the cache of this process."""
    cache = SeriesCache(images.cache, most_bytes=images.most_bytes, keep_s=images.keep_s)
    return DicomWeb(images.settings), cache
