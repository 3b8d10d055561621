"""Splits: sizes, strata, folds, and the file that is checked when it is read."""

import json
from collections import Counter

import pytest
from renalct.core.errors import InputError
from renalct.models.splits import Patient, Split, shares_from, split_by_shares, split_into_folds, split_patients


def people(**strata):
    """Patients by stratum: `people(a=3)` are a0, a1, a2 of stratum a."""
    return [Patient(f"{stratum}{n}", stratum) for stratum, count in strata.items() for n in range(count)]


def parts(split):
    return split.training, split.validation, split.test


def test_a_split_holds_each_patient_once_and_is_the_same_for_the_same_patients():
    names = [f"case_{n:05d}" for n in range(20)]
    split = split_patients([*names, *names], validation=5, seed=1)
    assert len(split.validation) == 5 and sorted(split.training + split.validation) == names
    assert split == split_patients(names[::-1], validation=5, seed=1)
    assert split != split_patients(names, validation=5, seed=2)


@pytest.mark.parametrize(
    ("count", "shares", "sizes"),
    [
        (490, (8, 1, 1), [392, 49, 49]),
        (300, (240, 60), [240, 60, 0]),
        (300, (80, 10, 10), [240, 30, 30]),
        (300, (0.8, 0.1, 0.1), [240, 30, 30]),
        (11, (1, 1), [6, 5, 0]),
        (3, (8, 1, 1), None),
        (5, (5, 0), [5, 0, 0]),
    ],
)
def test_parts_have_the_sizes_of_the_papers(count, shares, sizes):
    if sizes is None:
        with pytest.raises(InputError, match="nobody is left for"):
            split_by_shares(people(a=count), shares, seed=0)
        return
    split = split_by_shares(people(a=count), shares, seed=0)
    assert [len(part) for part in parts(split)] == sizes
    assert sorted(split.patients) == sorted(p.name for p in people(a=count))


@pytest.mark.parametrize("seed", range(5))
def test_every_part_holds_its_share_of_every_stratum_to_one_patient(seed):
    everybody = people(clear=206, papillary=31, chromophobe=24, aml=6, rare=1)
    total = Counter(p.stratum for p in everybody)
    stratum = {p.name: p.stratum for p in everybody}
    for share, part in zip((0.8, 0.1, 0.1), parts(split_by_shares(everybody, (8, 1, 1), seed=seed)), strict=True):
        held = Counter(stratum[name] for name in part)
        assert all(abs(held[s] - share * count) < 2 for s, count in total.items())


def test_a_rare_stratum_is_not_always_in_one_part():
    everybody = people(common=90, rare=1)
    where = {next(n for n, part in enumerate(parts(s)) if "rare0" in part) for s in splits_of(everybody, range(40))}
    assert where == {0, 1, 2}


def splits_of(everybody, seeds):
    return [split_by_shares(everybody, (1, 1, 1), seed=seed) for seed in seeds]


def test_the_order_of_the_patients_does_not_matter_and_the_seed_does():
    everybody = people(a=10, b=7)
    split = split_by_shares(everybody, (3, 1), seed=4)
    assert split == split_by_shares(everybody[::-1] + everybody, (3, 1), seed=4)
    assert split != split_by_shares(everybody, (3, 1), seed=5)


def test_folds_validate_everybody_once_and_spread_every_stratum():
    everybody = people(a=20, b=5)
    folds = split_into_folds(everybody, 5, seed=2)
    assert sorted(name for fold in folds for name in fold.validation) == sorted(p.name for p in everybody)
    for fold in folds:
        assert len(fold.training) == 20 and not set(fold.training) & set(fold.validation)
        assert Counter(name[0] for name in fold.validation) == {"a": 4, "b": 1}


@pytest.mark.parametrize("folds", [1, 4])
def test_folds_that_cannot_be_are_refused(folds):
    with pytest.raises(InputError, match=f"into {folds} folds"):
        split_into_folds(people(a=3), folds, seed=0)


def test_nobody_is_too_few():
    with pytest.raises(InputError, match="0 patients are too few"):
        split_by_shares([], (8, 1, 1), seed=0)


@pytest.mark.parametrize("shares", [(1,), (1, 1, 1, 1), (0, 1), (1, -1)])
def test_shares_that_make_no_split_are_refused(shares):
    with pytest.raises(InputError, match="two or three numbers"):
        split_by_shares(people(a=9), shares, seed=0)


@pytest.mark.parametrize(
    ("text", "shares"),
    [("8:1:1", (8, 1, 1)), ("240/60", (240, 60)), ("80/10/10", (80, 10, 10)), ("0.9:.1", (0.9, 0.1))],
)
def test_shares_are_read_as_the_papers_print_them(text, shares):
    assert shares_from(text) == shares


@pytest.mark.parametrize("text", ["8", "8-1-1", "8:1:1:1", "0:1", "8:-1", "nan:1", "", "8::1"])
def test_a_text_that_is_no_split_is_refused(text):
    with pytest.raises(InputError, match="8:1:1, 240/60 or 80/10/10"):
        shares_from(text)


def test_a_patient_in_two_parts_is_refused():
    with pytest.raises(InputError, match="b stands in the split more than once"):
        Split(("a", "b"), ("b", "c"))
    with pytest.raises(InputError, match="more than once"):
        Split(("a",), ("b",), ("c", "c"))
    with pytest.raises(InputError, match="more than once"):
        split_by_shares([Patient("a", "x"), Patient("a", "y")], (1, 1), seed=0)


def test_a_split_comes_back_from_its_file_with_its_hash(tmp_path):
    for split in (split_patients(["a", "b", "c"], validation=1, seed=0), Split(("a",), ("b",), ("c",)), Split((), ())):
        path = tmp_path / "split.json"
        path.write_text(split.to_text())
        found = Split.read(path)
        assert found == split and found.sha256 == split.sha256
        assert next(iter(json.loads(path.read_text()))) == "schema_version"


def test_the_hash_tells_parts_apart():
    hashes = {s.sha256 for s in (Split(("a", "b"), ()), Split(("a",), ("b",)), Split(("a",), (), ("b",)))}
    assert len(hashes) == 3


def changed(**values):
    return json.dumps(json.loads(Split(("a", "b"), ("c",), ("d",)).to_text()) | values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed(training=["a", "x"]), "was changed after it was written"),
        (changed(test=[]), "was changed after it was written"),
        (changed(sha256="0" * 64), "was changed after it was written"),
        (changed(sha256=None), "was changed after it was written"),
        (changed(validation=["a"]), "a stands in the split more than once"),
        (changed(schema_version=2), "schema version 2; 1 is needed"),
        (changed(training="ab"), "does not list patients by name"),
        (changed(training=[1]), "does not list patients by name"),
        ('{"training": [], "validation": []}', "schema version none"),
        ("[]", "schema version none"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_a_split_file_that_is_not_as_it_was_written_is_refused(tmp_path, text, message):
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(InputError, match=message):
        Split.read(tmp_path / "split.json")


def test_a_split_of_other_data_is_refused():
    split = Split(("a", "b"), ("c",))
    split.refuse_absent(["c", "b", "a", "more"])
    with pytest.raises(InputError, match=r"names 2 patients that the data do not hold \(a, c\)"):
        split.refuse_absent(["b"])
