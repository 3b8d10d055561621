import json
import pickle
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from html import escape

import numpy as np
import pytest
from renalct.core.errors import InputError
from renalct.core.volume import CTVolume, LabelMap
from renalct.learning.acquisition.strategies import Strategy
from renalct.learning.simulation import runs
from renalct.learning.simulation import simulate as simulate_module
from renalct.learning.simulation.records import all_rounds, read_rounds, rounds_path
from renalct.learning.simulation.results import PAGE, RESULTS, VERDICT, write_results
from renalct.learning.simulation.settings import COARSE, SimulationSettings
from renalct.learning.simulation.simulate import Given, build, run_all
from renalct.models.cases import Case, CaseFile, Origin
from shapes import grid_of

GRID = grid_of((24, 24, 3), (3.0, 3.0, 3.0))
STRATEGIES = (Strategy.RANDOM, Strategy.FG_RANDOM, Strategy.ENTROPY, Strategy.DISAGREEMENT, Strategy.CLASPE)
SETTINGS = SimulationSettings(
    strategies=STRATEGIES, seeds=2, rounds=2, per_round=2, start=3, start_steps=4, steps=2, test_share=0.25
)
RECIPE = replace(
    COARSE,
    segment=replace(
        COARSE.segment,
        network=replace(COARSE.segment.network, channels=(16, 16), strides=((2, 2, 1),)),
        training=replace(COARSE.segment.training, batch=2, patch=(24, 24, 1)),
    ),
)


class Patient:
    """A made patient: a bright kidney, and by its number a tumor, a cyst, both or none."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self):
        values = np.zeros(GRID.shape, np.uint8)
        values[6:18, 6:18] = 1
        if self.number % 2:
            values[8:11, 8:11] = 2
        if self.number % 3 == 0:
            values[13:16, 13:16] = 3
        hu = np.asarray([-80, 180, 80, 10], np.int16)[values]
        hu[:5] = 40  # a body is not of fat alone
        hu += np.random.default_rng(self.number).integers(-10, 10, hu.shape).astype(np.int16)
        return (Case(self.name, self.name, Origin.SLAB, CTVolume(hu, GRID), LabelMap(values, GRID)),)

    @property
    def name(self) -> str:
        return f"patient_{self.number:02d}"

    def file(self) -> CaseFile:
        return CaseFile(self.name, self.name, Origin.SLAB, self)


def given(count=16):
    return Given(tuple(Patient(n).file() for n in range(count)), "made patients")


def simulate(folder, settings=SETTINGS, **options):
    setting = build(RECIPE, given(), folder, settings=settings)
    return setting, list(run_all(setting, **options))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulation") / "out"
    setting, lines = simulate(folder)
    return folder, setting, lines


def test_every_strategy_of_every_seed_is_run_to_its_last_round(finished):
    _, _, lines = finished
    wanted = {f"{name}, seed {seed}" for seed in (0, 1) for name in ["start", "full", *(s.value for s in STRATEGIES)]}
    assert set(lines) == wanted and len(lines) == len(wanted)
    assert lines.index("full, seed 0") < lines.index("start, seed 1")  # a stop leaves whole seeds


def test_what_is_labelled_grows_by_a_round_without_the_test_part(finished):
    folder, setting, _ = finished
    test = {case.name for case in setting.test}
    for strategy in STRATEGIES:
        first, second, third = read_rounds(rounds_path(folder, strategy.value, 1))
        assert [len(set(r.labelled)) for r in (first, second, third)] == [3, 5, 7]
        assert second.labelled == (*first.labelled, *first.queried) and third.queried == ()
        assert not test & set(third.labelled)
        assert first.contour_mm < second.contour_mm < third.contour_mm
        assert first.foreground_share < third.foreground_share < 1
        assert {p.patient for p in third.test} == test


def test_all_strategies_of_a_seed_start_alike_and_seeds_do_not(finished):
    folder, _, _ = finished
    starts = {r.seed: set() for r in all_rounds(folder)}
    for record in all_rounds(folder):
        if record.round == 0 and record.strategy != "full":
            starts[record.seed].add((record.labelled, record.test))
    assert {seed: len(each) for seed, each in starts.items()} == {0: 1, 1: 1}
    assert starts[0] != starts[1]


def test_the_whole_pool_is_the_upper_end(finished):
    folder, setting, _ = finished
    (record,) = read_rounds(rounds_path(folder, "full", 0))
    assert len(record.labelled) == len(setting.pool) and record.foreground_share == pytest.approx(1.0)


def test_networks_are_removed_but_for_the_starts(finished):
    folder, _, _ = finished
    assert sorted(path.name for path in (folder / "networks").iterdir()) == ["start_0_0", "start_1_0"]


def test_what_is_finished_is_not_run_again(finished, monkeypatch):
    folder, setting, _ = finished

    def never(*_):
        raise AssertionError("a finished round was trained again")

    monkeypatch.setattr(runs, "train_network", never)
    before = {path: path.read_bytes() for path in (folder / "rounds").iterdir()}
    list(run_all(replace(setting, settings=replace(SETTINGS, strategies=STRATEGIES[1:3]))))
    assert {path: path.read_bytes() for path in (folder / "rounds").iterdir()} == before


def test_a_simulation_that_was_killed_goes_on_to_the_same_result(finished, tmp_path, monkeypatch):
    folder, _, _ = finished
    settings = replace(SETTINGS, strategies=(Strategy.CLASPE,), seeds=1)
    trained, count = runs.train_network, []

    def killed(*arguments, **options):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return trained(*arguments, **options)

    monkeypatch.setattr(runs, "train_network", killed)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "out", settings)
    path = rounds_path(tmp_path / "out", "claspe", 0)
    assert len(read_rounds(path)) == 1
    path.write_text(path.read_text() + '{"schema_version": 1, "strat')  # a line that was cut off
    simulate(tmp_path / "out", settings)
    again, once = (read_rounds(rounds_path(f, "claspe", 0)) for f in (tmp_path / "out", folder))
    assert [replace(r, seconds=0.0) for r in again] == [replace(r, seconds=0.0) for r in once]


class InTurn:
    """An executor that does the work at once, here, with what a process would be sent."""

    def __init__(self, workers, **options):
        self.workers = workers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def map(self, work, *columns):
        return [work(*pickle.loads(pickle.dumps(row))) for row in zip(*columns, strict=True)]


def test_work_for_several_processes_can_be_sent_and_gives_the_same_rounds(finished, tmp_path, monkeypatch):
    folder, _, _ = finished
    monkeypatch.setattr(simulate_module, "ProcessPoolExecutor", InTurn)
    settings = replace(SETTINGS, strategies=(Strategy.FG_RANDOM,))
    _, lines = simulate(tmp_path / "out", settings, workers=2)
    starts, rest = lines[:2], lines[2:]
    assert starts == ["start, seed 0", "start, seed 1"]  # both at a time, and before what follows from them
    assert set(rest) == {f"{name}, seed {seed}" for name in ("fg_random", "full") for seed in (0, 1)}
    one, two = (read_rounds(rounds_path(f, "fg_random", 0)) for f in (folder, tmp_path / "out"))
    assert [r.labelled for r in one] == [r.labelled for r in two]


def test_a_lost_process_is_told_with_what_to_do(tmp_path, monkeypatch):
    class Lost(InTurn):
        def map(self, work, *columns):
            raise BrokenProcessPool

    monkeypatch.setattr(simulate_module, "ProcessPoolExecutor", Lost)
    with pytest.raises(InputError, match=r"start again with fewer workers \(2 now\)"):
        simulate(tmp_path / "out", workers=2)


def test_the_results_are_tables_charts_a_verdict_and_a_page(finished):
    folder, _, _ = finished
    verdict, tables = write_results(folder, STRATEGIES)
    names = {path.name for path in (folder / RESULTS).iterdir()}
    assert {PAGE, VERDICT, "strategies.md", "penalty_holm.csv", "rounds.json", "curves.svg", "penalties.png"} <= names
    written = json.loads((folder / RESULTS / VERDICT).read_text())
    assert written["strategy"] == verdict.strategy and written["seeds"] == 2
    page = (folder / RESULTS / PAGE).read_text()
    assert "<h1>Simulation</h1>" in page and escape(verdict.sentence, quote=False) in page
    assert "In brackets" not in page  # these intervals are not of patients
    strategies = tables[0]
    assert [row.cells[0] for row in strategies.rows] == [s.value for s in STRATEGIES]
    assert {row.n for row in strategies.rows} == {"2 seeds"}


def test_results_of_no_finished_seed_say_so(tmp_path):
    build(RECIPE, given(), tmp_path / "out", settings=SETTINGS)
    verdict, tables = write_results(tmp_path / "out", STRATEGIES)
    assert not verdict.supported and verdict.seeds == 0
    assert "undefined" in (tmp_path / "out" / RESULTS / "strategies.md").read_text() and tables[4].rows == ()
