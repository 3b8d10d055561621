"""The page of an evaluation: complete, escaped, self-contained, the same each time."""

import re

from made_evaluation import three_patients
from renalct.core.report import NOT_FOR_CLINICAL_USE
from renalct.metrics.evaluation_page import Headline, Page, Section, render_evaluation
from renalct.metrics.evaluation_sections import headlines, notices, sections
from renalct.metrics.figures import Words
from renalct.metrics.figures_charts import Group, box_figure
from renalct.metrics.tables import Number, Row, Table
from test_page import HOSTILE, Reader


def page(**changed) -> Page:
    table = Table(
        "t", "Table title", "Source", ("side", "Dice"), (Row("ours", "3 patients", ("left", Number(0.8, 2, 0.7, 0.9))),)
    )
    figure = box_figure(Words("f", "Figure title", "Caption."), [Group("a", (0.5,))], axis="Dice")
    made = {
        "title": "System on data",
        "subject": "Trained on made data.",
        "headlines": (Headline("Dice, mass", Number(0.8, 2, 0.7, 0.9), "3 patients"),),
        "notices": ("Three patients only.",),
        "sections": (Section("s", "First part", ("Words.",), (table,), (figure,)), Section("u", "Second", folded=True)),
        "facts": (("Software", "renalct"),),
    }
    return Page(**(made | changed))


def reader_of(shown: Page) -> Reader:
    """The page's tags and words; a picture is read as an empty tag."""
    return Reader(render_evaluation(shown).replace("<img ", "<image "))


def test_the_page_begins_with_the_warning_and_shows_everything():
    text = reader_of(page()).text
    assert text.index(NOT_FOR_CLINICAL_USE) < text.index("Trained on made data.") < text.index("Dice, mass")
    for words in (
        "0.80",
        "[0.70, 0.90]",
        "Three patients only.",
        "Table title",
        "Source",
        "left",
        "Caption.",
        "renalct",
    ):
        assert words in text, words


def test_nothing_is_fetched_and_nothing_runs():
    html = render_evaluation(page())
    reader = reader_of(page())
    for _, name, value in reader.attributes:
        assert not name.startswith("on")
        if name in {"src", "href"}:
            assert value.startswith(("data:image/svg+xml;base64,", "#"))
    assert not {"script", "iframe", "link", "object"} & set(reader.tags)
    assert not re.search(r"url\(|@import|https?://", html) and "default-src 'none'" in html
    ids = {value for _, name, value in reader.attributes if name == "id"}
    assert {value[1:] for _, name, value in reader.attributes if name == "href"} <= ids


def test_hostile_words_are_escaped():
    table = Table("t", HOSTILE, HOSTILE, (HOSTILE,), (Row(HOSTILE, HOSTILE, (HOSTILE,)),), (HOSTILE,), labels=1)
    html = render_evaluation(page(title=HOSTILE, subject=HOSTILE, sections=(Section("s", HOSTILE, (), (table,)),)))
    assert "<script" not in html and HOSTILE in Reader(html).text


def test_equal_input_gives_equal_text():
    assert render_evaluation(page()) == render_evaluation(page())


def test_headlines_are_the_numbers_of_the_cases():
    found = {headline.title: headline for headline in headlines(three_patients())}
    assert found["Masses found, %"].number.value == 75.0 and found["Masses found, %"].of == "4 masses"
    assert found["False masses per case"].number.value == 1 / 3
    assert found["Class right, readers' masks, %"].number.value == 50.0
    assert found["Class right, found masks, %"].number.value == 100.0


def test_notices_warn_of_few_patients_and_missing_distances():
    said = " ".join(notices(three_patients()))
    assert "This is from 3 patients" in said and "In 1 of 3 cases the mass has no distance" in said


def test_every_section_has_a_name_of_its_own_and_every_file_too():
    found = sections(three_patients(), other=three_patients(), pictures=())
    assert found[0].anchor == "comparison" and "pictures" not in {section.anchor for section in found}
    assert len({section.anchor for section in found}) == len(found)
    tables = [table.name for section in found for table in section.tables]
    figures = [figure.words.name for section in found for figure in section.figures]
    assert len(set(tables)) == len(tables) and len(set(figures)) == len(figures)
    assert {"zhao_table_2", "zhao_table_3", "zhao_table_4", "zhao_table_5", "zhao_agreement"} <= set(tables)
    assert {"zang_regions", "zang_size", "beheshtifard_table_1", "comparison", "tests"} <= set(tables)
