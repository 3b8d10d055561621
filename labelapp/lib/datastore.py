"""MONAI Label's folder of images, with labels that are understood by name before they are kept."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from monailabel.datastore.local import LocalDatastore
from renalct.core.errors import InputError, LabelError
from renalct.formats import nifti
from renalct.formats.annotation import Names, read_annotation

from lib.failures import told_to_the_client
from lib.infer import LABEL_VALUES


class NamedLabelDatastore(LocalDatastore):
    """A folder of NIfTI images; every label is kept as NIfTI with the values of `LABEL_VALUES`."""

    def __init__(self, folder: str, *, auto_reload: bool, read_only: bool) -> None:
        extensions = [f"*{suffix}" for suffix in nifti.SUFFIXES]
        super().__init__(folder, extensions=extensions, auto_reload=auto_reload, read_only=read_only)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Keep a label file whose values mean what their names say; nothing is kept when one cannot be understood."""
        with told_to_the_client(), tempfile.TemporaryDirectory() as folder:
            if image_id not in self.list_images():
                raise InputError(f"there is no image {image_id!r} in this store; refresh the list of images")
            if not re.fullmatch(r"[\w-]+", label_tag):
                raise InputError(f"{label_tag!r} cannot be the tag of a label; use a plain word, for example 'final'")
            grid = nifti.read_grid(Path(self.get_image_uri(image_id)))
            label_map = read_annotation(Path(label_filename), names_of(label_info), grid=grid)
            renamed = Path(folder, "label").with_suffix(nifti.SUFFIXES[1])
            nifti.write_label_map(label_map, renamed)
            return super().save_label(image_id, str(renamed), label_tag, with_our_names(label_info))


def names_of(label_info: dict[str, Any]) -> Names:
    """The names that a viewer (``label_info``) or a model (``params.label_names``) gives to the values of a file."""
    listed = label_info.get("label_info") or ()
    named = (label_info.get("params") or {}).get("label_names") or {}
    try:
        return tuple((str(entry["name"]), int(entry["idx"])) for entry in listed) or tuple(
            (str(name), int(value)) for name, value in named.items()
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LabelError(
            "the names of the label values cannot be read; send label_info as a list of {name, idx}"
        ) from error


def with_our_names(label_info: dict[str, Any]) -> dict[str, Any]:
    """The same information, with the names and values that the kept file has."""
    entries = [{"name": name, "idx": value} for name, value in LABEL_VALUES.items()]
    params = {**(label_info.get("params") or {}), "label_names": LABEL_VALUES}
    return {**label_info, "label_info": entries, "params": params}
