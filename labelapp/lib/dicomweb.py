"""Images of a DICOMweb archive: ``--studies http://ARCHIVE/dicom-web``."""

from __future__ import annotations

from pathlib import Path

from monailabel.config import settings
from renalct.formats.dicom.web import DicomWeb, WebSettings
from renalct.formats.dicom.web_cache import SeriesCache
from renalct.learning.archive.source import ImageArchive
from renalct.learning.store import LabelStore


def image_archive(studies: str, store: LabelStore, cache: Path, *, most_bytes: int) -> ImageArchive:
    """The CT series of an archive, with user, password, token and cache folder from MONAI Label's own settings.

    MONAI_LABEL_DATASTORE_USERNAME and _PASSWORD (or MONAI_LABEL_DICOMWEB_USERNAME and _PASSWORD), or a bearer token
    in MONAI_LABEL_DATASTORE_API_KEY; MONAI_LABEL_DATASTORE_CACHE_PATH. The authority of a certificate is named by
    REQUESTS_CA_BUNDLE.
    """
    token = settings.MONAI_LABEL_DATASTORE_API_KEY
    user = "" if token else settings.MONAI_LABEL_DATASTORE_USERNAME or settings.MONAI_LABEL_DICOMWEB_USERNAME
    password = settings.MONAI_LABEL_DATASTORE_PASSWORD or settings.MONAI_LABEL_DICOMWEB_PASSWORD
    folder = settings.MONAI_LABEL_DATASTORE_CACHE_PATH or settings.MONAI_LABEL_DICOMWEB_CACHE_PATH
    web = DicomWeb(WebSettings(studies, user=user, password=password, token=token))
    return ImageArchive(web, store, SeriesCache(Path(folder) if folder else cache, most_bytes=most_bytes))
