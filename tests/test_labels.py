import pytest
from renalct.core.errors import LabelError
from renalct.core.labels import KNOWN_CLASSES, MassClass, Region, Structure, structure_named


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("kidney", Structure.KIDNEY),
        ("Left Kidney", Structure.KIDNEY),
        ("Kidney_Tumour", Structure.TUMOR),
        ("renal-mass", Structure.TUMOR),
        ("RENAL CYST", Structure.CYST),
        ("aml", Structure.ANGIOMYOLIPOMA),
        ("background", Structure.BACKGROUND),
    ],
)
def test_names_and_aliases_mean_their_structure(name, structure):
    assert structure_named(name) is structure


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    with pytest.raises(LabelError, match="did you mean 'kidney'"):
        structure_named("kidny")
    with pytest.raises(LabelError, match="spleen"):
        structure_named("spleen")


def test_every_structure_is_found_under_its_own_title():
    assert all(structure_named(s.title) is s for s in Structure)


def test_regions_are_those_of_kits_and_an_angiomyolipoma_counts_as_tumor():
    assert {int(s) for s in Region.KIDNEY_AND_MASS.value} == {1, 2, 3, 4}
    assert {int(s) for s in Region.MASS.value} == {2, 3, 4}
    assert {int(s) for s in Region.TUMOR.value} == {2, 4}


def test_classes_name_the_structure_that_is_painted():
    assert [c.structure for c in KNOWN_CLASSES] == [Structure.ANGIOMYOLIPOMA, Structure.CYST, Structure.TUMOR]
    assert MassClass.UNKNOWN.structure is Structure.TUMOR and MassClass.AML.title == "angiomyolipoma"
