"""Charts and case pictures: both formats, the same each time, empty input said in words, the right slice."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from made_evaluation import LEFT_MASS, RIGHT_MASS, a_grid, label_map
from PIL import Image
from renalct.core.findings import ActivationMap
from renalct.core.grid import Box, Grid
from renalct.core.labels import MassClass
from renalct.core.volume import CTVolume, LabelMap
from renalct.metrics.figures import Words
from renalct.metrics.figures_cases import activation_figure, activation_shot, case_figure, shot_of
from renalct.metrics.figures_charts import (
    Curve,
    Group,
    Matrix,
    box_figure,
    confusion_figure,
    histogram_figure,
    line_figure,
    scatter_figure,
    square_figure,
    volume_figure,
)

NAN = float("nan")
WORDS = Words("name", "Title", "Caption.")
GROUPS = [Group("first <a>", (0.1, 0.2, 0.3, 0.9, NAN, 0.5), mark=0.4), Group("second", (0.7,)), Group("none", ())]
AXES = ("x", "y")


def texts(figure) -> list[str]:
    """The words in the SVG, which must be well-formed."""
    root = ElementTree.fromstring(figure.svg)
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text") if element.text]


CHARTS = {
    "boxes": lambda: box_figure(WORDS, GROUPS, axis="Dice"),
    "histograms": lambda: histogram_figure(WORDS, GROUPS, axis="Dice"),
    "matrix": lambda: confusion_figure(WORDS, [Matrix("all", ("a", "b"), ("a", "b", "?"), ((3, 1, 0), (0, 0, 0)))]),
    "square": lambda: square_figure(WORDS, [Curve("c", (0, 0.5, 1), (0, 1, 1))], axes_labels=AXES, empty="none"),
    "lines": lambda: line_figure(WORDS, [Curve("loss", (1, 2), (0.5, 0.2)), Curve("gap", (), ())], axes_labels=AXES),
    "scatter": lambda: scatter_figure(WORDS, [(Group("a", (0.1, NAN)), Group("", (0.2, 0.3)))], axes_labels=AXES),
    "volumes": lambda: volume_figure(WORDS, [(Group("a", (0.5, 200.0)), Group("", (0.2, 0.3)))], axes_labels=AXES),
}


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)
def test_every_chart_is_a_png_and_an_svg_and_the_same_each_time(draw):
    first, second = draw(), draw()
    assert first.png == second.png and first.svg == second.svg
    with Image.open(io.BytesIO(first.png)) as picture:
        assert picture.format == "PNG" and min(picture.size) > 100
    assert texts(first)
    assert first.uri.startswith("data:image/svg+xml;base64,")


def test_labels_say_how_many_values_are_defined():
    words = " ".join(texts(CHARTS["boxes"]()))
    assert "n = 5" in words and "n = 1" in words and "n = 0" in words and "first <a>" in words
    assert "the paper's number (other data)" in words


def test_matrices_show_counts_and_the_share_that_is_right():
    words = texts(CHARTS["matrix"]())
    assert "3 of 4 right (75.0 %)" in words and {"3", "1"} <= set(words)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: box_figure(WORDS, [Group("none", (NAN,))], axis="Dice"),
        lambda: line_figure(WORDS, [], axes_labels=AXES),
        lambda: square_figure(WORDS, [], axes_labels=AXES, empty="no value is defined"),
    ],
)
def test_an_empty_chart_says_why_it_is_empty(draw):
    assert "no value is defined" in texts(draw())


def test_no_case_gives_a_picture_that_says_so():
    assert "no case to show" in texts(case_figure(WORDS, []))


def volume() -> CTVolume:
    return CTVolume(np.full(a_grid().shape, 40, np.int16), a_grid())


def test_a_case_is_shown_where_its_reference_mass_is_largest():
    reference, prediction = label_map((RIGHT_MASS, 2), (Box((48, 8, 9), (49, 9, 10)), 2)), label_map((LEFT_MASS, 3))
    shot = shot_of(reference, prediction, volume=volume(), title="case", words="Dice 0.00")
    assert (shot.reference == 2).sum() == 4 * 4 and (shot.prediction == 3).sum() == 4 * 4
    assert shot.gray.shape == shot.reference.shape and shot.pixel_mm == (2.0, 2.0)
    assert {"case", "Dice 0.00"} <= set(texts(case_figure(WORDS, [shot])))


@pytest.mark.parametrize("painted", [(), ((LEFT_MASS, 3),)])
def test_a_case_without_reference_mass_image_or_anything_is_still_shown(painted):
    shot = shot_of(label_map(kidneys=False), label_map(*painted, kidneys=False), volume=None, title="t", words="w")
    assert shot.gray.size and (shot.prediction > 0).any() == bool(painted)
    assert case_figure(WORDS, [shot]).png


def test_one_voxel_is_shown():
    one = LabelMap(np.full((1, 1, 1), 2, np.uint8), Grid((1, 1, 1), np.eye(4)))
    shot = shot_of(one, one, volume=None, title="t", words="w")
    assert shot.reference.tolist() == [[2]] and case_figure(WORDS, [shot]).png


def test_an_activation_map_is_shown_at_its_mass():
    box = Box((44, 4, 2), (52, 12, 10))
    values = np.zeros(box.shape, np.float32)
    values[3, 3, 3] = 1.0
    prediction = label_map((RIGHT_MASS, 2))
    shot = activation_shot(
        volume(), prediction, ActivationMap(MassClass.SOLID, box, values), title="case", words="mass 1: solid"
    )
    assert shot.mask.sum() == 16 and shot.activation.shape == (8, 8)
    assert "mass 1: solid" in texts(activation_figure(WORDS, [shot] * 5))
