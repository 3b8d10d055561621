"""The report page: complete, escaped, self-contained, the same each time."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from made_report import (
    TOO_SMALL,
    activation_of,
    block,
    dicom_like_grid,
    kidney,
    mass,
    provenance,
    report,
    volume_of,
)
from renalct.core.findings import Classification, Findings
from renalct.core.labels import MassClass, Side
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.report import NOT_FOR_CLINICAL_USE, Report
from renalct.core.volume import CTVolume, Source
from renalct.pictures.page import render_page

HOSTILE = "<script>alert('x')</script>\"&{{ 7*7 }}"
_VOID = {"meta", "br", "rect", "image", "path", "line", "use"}


@pytest.fixture(scope="module")
def volume() -> CTVolume:
    return volume_of(dicom_like_grid())


def findings() -> Findings:
    mask = block((6, 16, 8), (12, 20, 12))
    return Findings(
        (kidney(block((5, 10, 5), (12, 30, 25))), kidney(block((28, 10, 5), (35, 30, 25)), Side.LEFT)),
        (
            mass(mask, activation=activation_of(mask)),
            mass(block((28, 12, 6), (30, 14, 7)), number=2, side=Side.LEFT, classification=TOO_SMALL),
        ),
    )


class Reader(HTMLParser):
    """Checks that tags are closed in order and collects attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.tags, self.attributes, self.words, self.ids = [], [], [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if "style" not in self.open:
            self.words.append(text)

    @property
    def text(self) -> str:
        return re.sub(r"[ \n]+", " ", " ".join(self.words))


def test_the_page_begins_with_the_warning_and_what_the_weights_were_trained_on(volume):
    text = Reader(render_page(volume, report(findings()))).text
    assert text.index(NOT_FOR_CLINICAL_USE) < text.index("made phantoms, no patient") < text.index("Found 2 kidneys")


def test_the_page_shows_every_fact_of_the_report(volume):
    text = Reader(render_page(volume, report(findings()))).text.replace("\N{MULTIPLICATION SIGN}", "x")
    for fact in (
        "Phase estimated: nephrographic.",
        "Mass R1: solid",
        "Mass L2: class unknown",
        "Why the class is unknown: too small to characterise",
        "83\N{NARROW NO-BREAK SPACE}%",
        "12.3 ml",
        "6.0 x 4.0",
        "90 ± 12 HU",
        "\N{MINUS SIGN}20 to 140 HU",
        "<\N{NARROW NO-BREAK SPACE}1\N{NARROW NO-BREAK SPACE}%",
        "not measured",
        "160 with masses",
        "Where the network looked for “solid” (Grad-CAM)",
        "starter 7.0",
        "ab" * 32,
        "Apache-2.0",
        "segment 1.5",
        "nephrographic (probability 70\N{NARROW NO-BREAK SPACE}%)",
        "40 x 40 x 30 voxels of 2.00 x 2.00 x 3.00 mm",
        "1.2.3.4",
    ):
        assert fact in text, fact


def test_tags_are_closed_and_names_are_used_once(volume):
    reader = Reader(render_page(volume, report(findings())))
    assert len(reader.ids) == len(set(reader.ids))
    references = {value[1:] for _, name, value in reader.attributes if name == "href" and value.startswith("#")}
    assert references <= set(reader.ids)


def test_nothing_is_fetched_and_nothing_runs(volume):
    page = render_page(volume, report(findings()))
    reader = Reader(page)
    for tag, name, value in reader.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in {"src", "href", "xlink:href", "data", "action", "poster", "srcset"}:
            assert value.startswith(("data:image/png;base64,", "#")), (tag, name, value[:60])
    assert not {"script", "iframe", "link", "object", "embed", "base"} & set(reader.tags)
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page


def test_every_picture_has_words_and_letters(volume):
    reader = Reader(render_page(volume, report(findings())))
    pictures = reader.tags.count("figure")
    assert pictures == 2 + 2 * 3 + 3  # overviews, three planes for two masses, three with activation for one
    labelled = [value for tag, name, value in reader.attributes if tag == "svg" and name == "aria-label"]
    assert len(labelled) == pictures
    assert all(labelled)
    assert reader.words.count("R") == 2 + 2 * 2 + 2  # axial and coronal pictures


@pytest.mark.parametrize("place", ["notice", "trained on", "reason", "evidence", "release", "uid", "stage"])
def test_hostile_text_is_escaped(volume, place):
    made = report(findings())
    small = replace(findings().masses[1], classification=Classification(MassClass.UNKNOWN, reason=HOSTILE))
    hostile = {
        "notice": lambda: replace(made, notices=(HOSTILE,)),
        "trained on": lambda: replace(made, provenance=replace(provenance(), trained_on=HOSTILE)),
        "reason": lambda: replace(made, findings=Findings((), (findings().masses[0], small))),
        "evidence": lambda: replace(made, phase=PhaseEstimate(Phase.NEPHROGRAPHIC, 0.5, HOSTILE)),
        "release": lambda: replace(made, provenance=replace(provenance(), release_name=HOSTILE)),
        "uid": lambda: replace(made, source=Source(HOSTILE, HOSTILE, HOSTILE, 1)),
        "stage": lambda: replace(made, seconds_per_stage=((HOSTILE, 1.0),)),
    }[place]()
    page = render_page(volume, hostile)
    assert "<script" not in page
    assert HOSTILE in Reader(page).text


def test_free_text_of_the_headers_is_not_shown(volume):
    page = render_page(volume, report(findings(), source=Source("1.2", "1.2.3", "DOE^JANE kidneys", 5)))
    assert "DOE" not in page
    assert "Series 5" in Reader(page).text


def test_no_findings_give_a_proper_page(volume):
    empty = Report(Findings(), provenance())
    reader = Reader(render_page(volume, empty))
    assert "No kidney was found." in reader.text
    assert "look at the images" in reader.text
    assert "Masses" not in reader.text
    assert reader.tags.count("figure") == 2
    assert "Study not known" in reader.text


def test_kidneys_without_a_mass_give_a_proper_page(volume):
    reader = Reader(render_page(volume, report(Findings(findings().kidneys))))
    assert "Found 2 kidneys (right, left) and no renal mass." in reader.text
    assert "Mass R" not in reader.text


def test_a_mass_without_a_classifier_says_so(volume):
    alone = mass(block((6, 16, 8), (12, 20, 12)), classification=Classification(MassClass.SOLID))
    text = Reader(render_page(volume, report(Findings((), (alone,))))).text
    assert "No classifier was asked." in text
    assert "Class solid" not in text


def test_a_mass_of_undetermined_side_is_named_so(volume):
    alone = mass(block((6, 16, 8), (12, 20, 12)), side=Side.UNDETERMINED)
    text = Reader(render_page(volume, report(Findings((), (alone,))))).text
    assert "Mass U1: solid side undetermined" in text


def test_equal_input_gives_equal_text(volume):
    assert render_page(volume, report(findings())) == render_page(volume, report(findings()))


def test_float_images_and_voxels_of_one_slice_are_shown():
    grid = dicom_like_grid((30, 30, 1))
    flat = CTVolume(np.zeros(grid.shape, dtype=np.float32), grid)
    alone = mass(block((6, 16, 0), (12, 20, 1)))
    assert "Mass R1" in Reader(render_page(flat, report(Findings((), (alone,))))).text
