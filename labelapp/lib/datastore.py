"""MONAI Label's data store over ours: its calls are translated, and decided elsewhere."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from renalct.core.errors import InputError
from renalct.learning.case_desk import CaseDesk
from renalct.learning.case_records import counted, image_record, label_record, overview, training_pairs
from renalct.learning.ingestion import Submission
from renalct.learning.store import SegmentationMeta

from lib.failures import told_to_the_client
from lib.uploads import under_its_own_name
from lib.who import asking, refuse_unless_reviewer

META = "segmentationMeta"
APPROVED = "approved"


class DeskDatastore(Datastore):
    """Images and labels of a desk, as MONAI Label's endpoints ask for them. A label is called by its image's id."""

    def __init__(self, desk: CaseDesk) -> None:
        self.desk = desk
        self._submitted: ContextVar[Submission | None] = ContextVar("submitted", default=None)

    @property
    def submitted(self) -> Submission | None:
        """The label that was handed in by this request."""
        return self._submitted.get()

    def name(self) -> str:
        return "renalct"

    def set_name(self, name: str) -> None:
        raise InputError("the store has a fixed name")

    def description(self) -> str:
        return "labels by renalct"

    def set_description(self, description: str) -> None:
        raise InputError("the store has a fixed description")

    def datalist(self) -> list[dict[str, Any]]:
        return [dict(pair) for pair in training_pairs(self.desk)]

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        return {tag: image_id for tag in self.desk.store.tags(self.desk.image(image_id).image_id)}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        return self.get_labels_by_image_id(image_id).get(tag, "")

    def get_image(self, image_id: str, params: Any = None) -> Any:
        return io.BytesIO(Path(self.get_image_uri(image_id)).read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        """The file of an image; "" for one that is not there, to which the stock code answers 404."""
        found = self.desk.images().get(image_id)
        return str(self.desk.source.viewable(found)) if found else ""

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> Any:
        return io.BytesIO(Path(self.get_label_uri(label_id, label_tag)).read_bytes())

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The file of a label; "" for one that is not there, to which the stock code answers 404."""
        try:
            return str(self.desk.store.label_path(self.desk.find_label(label_id, label_tag)))
        except InputError:
            return ""

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        image = self.desk.image(image_id)
        return image_record(self.desk, image) | {"path": str(self.desk.source.viewable(image))}

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        label = self.desk.find_label(label_id, label_tag)
        return label_record(label, self.desk.store.review(label_id) if label_tag == DefaultLabelTag.FINAL else None)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        return list(self.desk.labelled())

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        return list(self.desk.unlabelled())

    def list_images(self) -> list[str]:
        return list(self.desk.images())

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """A zip of images with their final labels, and what is known of both."""
        pairs = self.datalist()[:limit_cases]
        if not pairs:
            raise InputError("no case is labelled yet; there is nothing to download")
        with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as file, zipfile.ZipFile(file, "w") as archive:
            for pair in pairs:
                for kind, path in pair.items():
                    archive.write(path, f"{kind}/{Path(pair['image']).name}")
            archive.writestr("metadata.json", json.dumps(self.json()))
        return file.name

    def refresh(self) -> None:
        self.desk.images()

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        with under_its_own_name(Path(image_filename), "file") as file:
            added = self.desk.source.add(image_id, file)
        self.desk.images()
        self.desk.store.record("image added", by=asking(image_info), image_id=added.image_id)
        return added.image_id

    def remove_image(self, image_id: str) -> None:
        raise InputError("images are not removed by this server; take the file out of the folder, its labels stay safe")

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Keep a label as a new version; nothing is kept when it cannot be understood."""
        with told_to_the_client(), under_its_own_name(Path(label_filename), "label") as file:
            self._submitted.set(
                self.desk.hand_in(image_id, file, tag=str(label_tag), author=asking(label_info), info=label_info)
            )
            if META in label_info:
                self._review(image_id, DefaultLabelTag.FINAL.value, label_info)
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        with told_to_the_client():
            self.desk.take_back(label_id, label_tag, by=asking({}))

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Nothing: who was given which image, and when, is in the store's own leases."""
        self.desk.image(image_id)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """The Reviewer's verdict on a label; what else it sends is what it was told before."""
        with told_to_the_client():
            if META not in info:
                raise InputError("only segmentationMeta of a label can be changed; send its status, level and comment")
            self._review(label_id, label_tag, info)

    def status(self) -> dict[str, Any]:
        return counted(self.desk)

    def json(self) -> dict[str, Any]:
        return overview(self.desk)

    def _review(self, image_id: str, tag: str, info: dict[str, Any]) -> None:
        meta = SegmentationMeta.from_json(info[META])
        if meta.status == APPROVED:
            refuse_unless_reviewer()
        self.desk.review(image_id, tag, meta, by=asking({"client_id": meta.approved_by or info.get("client_id")}))
