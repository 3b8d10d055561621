"""Prepared cases: a bounded cache of files, a hash of what they were made from, and a full disk."""

from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import OutputError
from renalct.core.labels import Structure
from renalct.models.array_cache import ArrayCache
from renalct.models.cases import CaseFile
from renalct.models.prepared_cases import data_sha256, prepare_cases, read_prepared
from renalct.models.samples import Sampler
from test_samples import RECIPE, file_of, made_case


def test_a_cache_holds_no_more_files_and_bytes_than_it_may(tmp_path):
    for n in range(6):
        np.save(tmp_path / f"{n}.npy", np.full(1 << 20, n, np.uint8))
    cache = ArrayCache(limit_mb=3, most_files=10)
    for n in range(6):
        assert cache.read(tmp_path / f"{n}.npy")[0] == n
    assert (cache.files, cache.megabytes) == (3, 3.0)
    few = ArrayCache(limit_mb=100, most_files=2)
    for n in (0, 1, 0, 2):
        few.read(tmp_path / f"{n}.npy")
    assert few.files == 2 and few.read(tmp_path / "0.npy") is few.read(tmp_path / "0.npy")


def test_one_array_larger_than_the_cache_is_still_read(tmp_path):
    np.save(tmp_path / "large.npy", np.zeros(1 << 20, np.uint8))
    cache = ArrayCache(limit_mb=0.5)
    assert cache.read(tmp_path / "large.npy").size == 1 << 20 and cache.files == 1


def test_samples_do_not_depend_on_the_size_of_the_cache(tmp_path):
    prepare_cases([file_of(made_case(name)) for name in "abc"], RECIPE.stages, tmp_path)
    batches = []
    for cache in (ArrayCache(), ArrayCache(most_files=1)):
        batches.append(Sampler(RECIPE.segment, read_prepared(tmp_path / "segment", cache=cache)).batch(3)[0])
    assert (batches[0] == batches[1]).all()


def test_the_hash_of_the_data_knows_voxels_and_labels_and_not_the_order(tmp_path):
    one, two = made_case("one"), made_case("two")
    other = replace(two, label_map=replace(two.label_map, values=two.label_map.values // 2))
    hashes = []
    for number, cases in enumerate([(one, two), (two, one), (one, other)]):
        files = [file_of(case) for case in cases]
        prepare_cases(files, RECIPE.stages, tmp_path / str(number))
        hashes.append(data_sha256(tmp_path / str(number)))
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_a_case_assesses_is_kept(tmp_path):
    partial = replace(made_case(), assessed=frozenset({Structure.BACKGROUND, Structure.KIDNEY}))
    prepare_cases([file_of(partial)], RECIPE.stages, tmp_path)
    for name, _ in RECIPE.stages:
        for case in read_prepared(tmp_path / name):
            assert case.assessed == {Structure.BACKGROUND, Structure.KIDNEY}


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    for name, _ in RECIPE.stages:
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.image.npy").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="no space is left for the prepared cases"):
        prepare_cases([file_of(made_case())], RECIPE.stages[:1], tmp_path)
    assert not (tmp_path / "one.done").exists()


def test_a_fault_of_reading_is_not_taken_for_a_full_disk(tmp_path):
    def load():
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError):
        prepare_cases([CaseFile("one", "one", made_case().origin, load)], RECIPE.stages, tmp_path)
