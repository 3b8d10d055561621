"""The conformance statement says what the code does: it is generated, and its tables are compared with the deed."""

from pathlib import Path

import pydicom
import pytest
import requests
from pydicom import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.sequence import Sequence
from pydicom.uid import JPEGBaseline8Bit
from renalct.__main__ import main
from renalct.core.errors import TransferError
from renalct.delivery.conformance import specimens as specimens_module
from renalct.delivery.conformance import statement
from renalct.delivery.conformance.attributes import Origin, Presence, attributes_of
from renalct.delivery.conformance.network import accepted_beside, accepted_images, listening, proposed_to_store
from renalct.delivery.conformance.specimens import KINDS, Specimens, made_specimens
from renalct.delivery.conformance.statement import conformance_statement
from renalct.delivery.conformance.terminology import TEMPLATES, private_codes, templates_of
from renalct.formats.dicom import objects
from renalct.formats.dicom.codes import PRIVATE_SCHEME
from renalct.formats.dicom.pixels import is_plain
from renalct.formats.dicom.web import DicomWeb, WebSettings

PAGE = Path(__file__).parents[1] / "docs" / "conformance.md"


@pytest.fixture(scope="module")
def specimens():
    return made_specimens()


@pytest.fixture(scope="module")
def page():
    return conformance_statement()


def test_the_page_in_the_docs_is_what_the_code_says(page):
    assert PAGE.read_text() == page, "renew it: renalct conformance -o docs/conformance.md"


def test_the_command_prints_and_writes_the_statement(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("renalct.commands.conformance.conformance_statement", lambda: "statement\n")
    assert main(["conformance", "-o", str(tmp_path / "page.md")]) == 0 and capsys.readouterr().out == ""
    assert (tmp_path / "page.md").read_text() == "statement\n"
    assert main(["conformance"]) == 0 and capsys.readouterr().out == "statement\n"
    assert main(["conformance", "-o", str(tmp_path / "missing" / "page.md")]) != 0
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (statement, "DICOM_PORT", 104),
        (statement, "MOST_AT_ONCE", 7),
        (statement, "store_outcomes", lambda: ()),
        (specimens_module, "refusal_report", lambda *_, **__: Dataset()),
    ],
    ids=["port", "association", "statuses", "objects"],
)
def test_another_code_gives_another_page(module, name, value, page, monkeypatch):
    monkeypatch.setattr(module, name, value)
    try:
        assert conformance_statement() != page
    except AttributeError:
        assert name == "refusal_report"  # an object without a SOP class cannot be described at all


def test_the_statement_has_the_sections_of_the_standard(page):
    titles = [line.split(" ", 2)[1:] for line in page.splitlines() if line.startswith("## ")]
    assert [number for number, _ in titles] == [str(n) for n in range(1, 9)]
    assert "$" not in page and "66.7 | yes" not in page


def test_every_kind_of_object_that_is_written_is_described(specimens, tmp_path):
    written = {value for name, value in vars(objects).items() if name.startswith("write_") and name != "write_objects"}
    assert len(written) == 4  # a new writer belongs into the specimens
    assert set(specimens[0].objects) == set(specimens[1].objects) == set(KINDS)


def test_no_private_attribute_is_written(specimens):
    def private(dataset):
        for element in dataset:
            if element.tag.is_private:
                yield element.tag
            for item in element.value if element.VR == "SQ" else ():
                yield from private(item)

    assert [tag for each in specimens for written in each.objects.values() for tag in private(written)] == []


def test_every_private_code_and_template_of_an_object_is_listed(specimens):
    known = {code.value for code in private_codes()}
    used = {
        item.CodeValue
        for each in specimens
        for written in each.objects.values()
        for item in items_of(written)
        if item.get("CodingSchemeDesignator") == PRIVATE_SCHEME and "CodeValue" in item
    }
    assert len(used) > 5 and used <= known
    assert {t for each in specimens for d in each.objects.values() for t in templates_of(d)} <= set(TEMPLATES)


def items_of(dataset):
    yield dataset
    for element in dataset:
        for item in element.value if element.VR == "SQ" else ():
            yield from items_of(item)


def test_images_are_accepted_in_exactly_the_transfer_syntaxes_that_can_be_decoded():
    for context in accepted_images(listening()):
        for syntax in context.transfer_syntax_uids:
            plain = is_plain(type("Header", (), {"transfer_syntax_uid": syntax}))
            assert plain or get_decoder(syntax).available_plugins, syntax.name
            assert syntax != JPEGBaseline8Bit


def test_all_further_storage_classes_have_one_list_of_transfer_syntaxes():
    assert len({context.transfer_syntax_uids for context in accepted_beside(listening())}) == 1


def test_what_is_proposed_is_how_the_objects_are_stored(specimens):
    contexts = {context.sop_class_uid: context for context in proposed_to_store(specimens[0].objects)}
    for written in specimens[0].objects.values():
        assert contexts[written.SOPClassUID].transfer_syntax_uids[0] == written.file_meta.TransferSyntaxUID
    assert len(contexts) == len({written.SOPClassUID for written in specimens[0].objects.values()}) == 5


def test_the_dicomweb_services_are_those_that_are_asked_for(page, monkeypatch, tmp_path, specimens):
    asked = []

    def send(_, request, **__):
        asked.append((request.method, request.path_url.split("?")[0], request.headers.get("Accept", "")))
        raise requests.ConnectionError("none")

    monkeypatch.setattr(requests.Session, "send", send)
    web = DicomWeb(WebSettings("http://127.0.0.1/service"))
    specimens[0].objects["sr"].save_as(tmp_path / "sr.dcm", enforce_file_format=True)
    for ask in (
        lambda: web.series("CT"),
        lambda: web.series("CT", study_instance_uid="1.2"),
        lambda: web.instances("1.2", "1.2.3"),
        lambda: web.fetch("1.2", "1.2.3", tmp_path),
        lambda: web.store([tmp_path / "sr.dcm"]),
    ):
        with pytest.raises(TransferError):
            ask()
    assert [(method, path) for method, path, _ in asked] == [
        ("GET", "/service/series"),
        ("GET", "/service/studies/1.2/series"),
        ("GET", "/service/studies/1.2/series/1.2.3/instances"),
        ("GET", "/service/studies/1.2/series/1.2.3"),
        ("POST", "/service/studies"),
    ]
    assert 'type="application/dicom"' in asked[3][2]
    for service in ("QIDO-RS, search for series", "QIDO-RS, search for instances", "WADO-RS", "STOW-RS"):
        assert f"| {service}" in page


def specimen(**values) -> Specimens:
    """A made object with these attributes, whose source has the PatientID "P1" or "P2"."""
    source, written = Dataset(), Dataset()
    source.PatientID = values.pop("source")
    for keyword, value in values.items():
        setattr(written, keyword, value)
    return Specimens(source, {"made": written})


def test_presence_and_origin_of_attributes_are_found_by_comparison():
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "SCT", "one"
    one = {"Modality": "SR", "PatientID": "P1", "StudyID": "", "StationName": "", "InstanceNumber": 1}
    other = {"Modality": "SR", "PatientID": "P2", "StudyID": "7", "StationName": "", "InstanceNumber": 2}
    found = attributes_of(
        "made",
        [
            specimen(source="P1", ConceptCodeSequence=Sequence([code]), **one),
            specimen(source="P2", ConceptCodeSequence=Sequence([code]), PatientAge="050Y", **other),
        ],
    )
    assert {pydicom.datadict.keyword_for_tag(a.tag): (a.presence, a.origin, a.value) for a in found} == {
        "Modality": (Presence.ALWAYS, Origin.FIXED, "SR"),
        "PatientID": (Presence.ALWAYS, Origin.COPY, ""),
        "StudyID": (Presence.MAY_BE_EMPTY, Origin.AUTO, ""),
        "StationName": (Presence.EMPTY, Origin.FIXED, ""),
        "InstanceNumber": (Presence.ALWAYS, Origin.AUTO, ""),
        "PatientAge": (Presence.MAY_BE_ABSENT, Origin.AUTO, ""),
        "ConceptCodeSequence": (Presence.ALWAYS, Origin.FIXED, '(1, SCT, "one")'),
    }
