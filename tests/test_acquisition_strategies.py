import math
from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.learning.acquisition.candidates import SCORER_OF, candidate_of, compares_with_labelled, joined
from renalct.learning.acquisition.choice import RoundOrders
from renalct.learning.acquisition.diversity import k_centers, k_means_order, typical_order
from renalct.learning.acquisition.scoring import Scorer
from renalct.learning.acquisition.strategies import (
    DEFAULT,
    FOREGROUND_SHARE,
    GUARANTEED_SHARE,
    RANKINGS,
    Candidate,
    Query,
    Strategy,
    beta_of,
    guaranteed,
    ordered,
    powered,
    strategy_named,
)
from renalct.learning.acquisition.why import ImageScore, Why

NO_MASS, TUMOR, CYST = (100.0, 0.0, 0.0), (100.0, 5.0, 0.0), (100.0, 0.0, 5.0)


def cases(*scores, ml=TUMOR):
    """Candidates of every kind of score; case n has the n-th, and so for each class."""
    return [
        Candidate(
            f"case {n:03d}",
            entropy=score,
            by_class=(score, score, score),
            ml_by_class=ml,
            disagreement=score,
            bald=score,
            features=(score, 0.0),
            descriptor=(score, 0.0),
            agreement=score,
        )
        for n, score in enumerate(scores)
    ]


def numbers(names):
    return [int(name.split()[1]) for name in names]


@pytest.mark.parametrize("strategy", Strategy, ids=lambda s: s.value)
def test_every_strategy_orders_every_case_once_and_the_same_each_time(strategy):
    given = cases(*np.linspace(0.01, 0.9, 30).tolist())
    first = ordered(strategy, given, Query(8, seed=3))
    assert sorted(first) == [case.name for case in given]
    assert ordered(strategy, given[::-1], Query(8, seed=3)) == first


@pytest.mark.parametrize("strategy", Strategy, ids=lambda s: s.value)
def test_no_case_and_one_case_are_ordered_too(strategy):
    assert ordered(strategy, [], Query(4)) == ()
    assert ordered(strategy, cases(0.5), Query(4)) == ("case 000",)


@pytest.mark.parametrize(
    "strategy",
    [Strategy.ENTROPY, Strategy.BALD, Strategy.DISAGREEMENT, Strategy.SUSPECTED_ERROR],
    ids=lambda s: s.value,
)
def test_the_highest_score_comes_first(strategy):
    assert numbers(ordered(strategy, cases(0.2, 0.9, 0.1, 0.5), Query(4))) == [1, 3, 0, 2]


def test_equal_scores_are_ordered_by_the_seed_and_not_by_name():
    given = cases(*[0.5] * 20)
    orders = {ordered(Strategy.ENTROPY, given, Query(4, seed=seed)) for seed in range(5)}
    assert len(orders) == 5


@pytest.mark.parametrize("strategy", [Strategy.RANDOM, Strategy.FG_RANDOM], ids=lambda s: s.value)
def test_random_orders_know_nothing_of_scores(strategy):
    given = cases(*np.linspace(0, 1, 40).tolist(), ml=())
    nothing = [Candidate(case.name) for case in given]
    assert ordered(strategy, given, Query(10, seed=1)) == ordered(strategy, nothing, Query(10, seed=1))
    first = {ordered(strategy, nothing, Query(10, seed=seed))[0] for seed in range(30)}
    assert len(first) > 12


def test_foreground_aware_random_draws_a_third_of_a_query_among_cases_that_show_a_class():
    assert pytest.approx(1 / 3) == FOREGROUND_SHARE
    bare = [Candidate(f"bare {n:03d}", ml_by_class=(0.0, 0.0, 0.0)) for n in range(270)]
    showing = [Candidate(f"shows {n:03d}", ml_by_class=TUMOR) for n in range(30)]
    counts = []
    for seed in range(40):
        query = ordered(Strategy.FG_RANDOM, [*bare, *showing], Query(30, seed=seed))[:30]
        counts.append(sum(name.startswith("shows") for name in query))
    # 10 of 30 are drawn for a class, of which one in three (cyst) finds none; of the other 23 one in ten shows one
    assert np.mean(counts) == pytest.approx(2 / 3 * 10 + 23 / 10, abs=1.0)


def test_power_noise_draws_by_score():
    rng = np.random.default_rng(0)
    drawn = [int(powered(np.array([1.0, 3.0]), 1.0, rng).argmax()) for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.03)  # weights 1 and 3
    sure = [int(powered(np.array([1.0, 1.1]), 100.0, rng).argmax()) for _ in range(100)]
    assert np.mean(sure) > 0.99  # 1.1 ** 100 to 1


def test_power_strategies_prefer_high_scores_and_do_not_always_take_the_highest():
    given = cases(*[0.1] * 15, *[0.9] * 15)
    first = [numbers(ordered(Strategy.POWER_ENTROPY, given, Query(1, seed=seed)))[0] for seed in range(200)]
    assert np.mean(np.array(first) >= 15) == pytest.approx(0.9, abs=0.07)


def test_the_noise_of_claspe_fades_from_1_to_a_hundredth_over_the_rounds():
    assert [beta_of(Query(1, number, 5)) for number in range(5)] == pytest.approx([1, 10**0.5, 10, 10**1.5, 100])
    assert beta_of(Query(1, 9, 5)) == 100 and beta_of(Query(1, 0, 1)) == 1


def test_two_thirds_of_a_claspe_query_are_shared_by_the_classes():
    """Three groups of cases, each certain but for one class, and one that is unsure of everything else."""
    given = []
    for n in range(15):
        for k, name in enumerate(("kidney", "tumor", "cyst")):
            by_class = tuple(0.9 if k == other else 1e-6 for other in range(3))
            given.append(Candidate(f"{name} {n}", entropy=1e-6, by_class=by_class, ml_by_class=TUMOR))
        given.append(Candidate(f"entropy {n}", entropy=0.9, by_class=(1e-6,) * 3, ml_by_class=TUMOR))
    query = ordered(Strategy.CLASPE, given, Query(12, number=4, rounds=5))[:12]
    kinds = [name.split()[0] for name in query]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == pytest.approx(
        {"kidney": 8 / 3, "tumor": 8 / 3, "cyst": 8 / 3, "entropy": 4}, abs=0.7
    )


def test_a_rare_class_has_its_guaranteed_share_in_a_query_and_the_rest_keeps_its_order():
    assert GUARANTEED_SHARE == 0.25
    given = cases(*np.linspace(0.9, 0.1, 20).tolist(), ml=NO_MASS)
    given[15] = replace(given[15], ml_by_class=CYST)
    given[17] = replace(given[17], ml_by_class=TUMOR)
    given[18] = replace(given[18], ml_by_class=TUMOR)
    given[19] = replace(given[19], ml_by_class=CYST)
    order = numbers(ordered(Strategy.ENTROPY, given, Query(8)))
    assert order[:4] == [0, 1, 2, 3] and sorted(order[4:8]) == [15, 17, 18, 19]
    assert order[8:] == [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16]


def test_a_guarantee_does_not_take_the_place_of_the_only_case_of_another_class():
    given = cases(0.9, 0.8, 0.7, 0.6, ml=NO_MASS)
    given[1] = replace(given[1], ml_by_class=TUMOR)
    given[3] = replace(given[3], ml_by_class=CYST)
    assert guaranteed([0, 1, 2, 3], given, 2) == [3, 1, 0, 2]


def test_a_guarantee_that_nothing_can_keep_changes_nothing():
    assert numbers(ordered(Strategy.ENTROPY, cases(0.1, 0.2, 0.3, ml=NO_MASS), Query(2))) == [2, 1, 0]


def test_true_random_guarantees_nothing():
    given = cases(*[0.5] * 40, ml=NO_MASS)
    given[7] = replace(given[7], ml_by_class=CYST)
    chosen = [7 in numbers(ordered(Strategy.RANDOM, given, Query(4, seed=seed))[:4]) for seed in range(200)]
    assert np.mean(chosen) == pytest.approx(0.1, abs=0.06)


@pytest.mark.parametrize(
    ("strategy", "lacks"),
    [(Strategy.ENTROPY, "entropy"), (Strategy.CLASPE, "entropy"), (Strategy.COLD_START, "descriptor")],
    ids=lambda value: str(value),
)
def test_a_case_without_the_score_is_named(strategy, lacks):
    with pytest.raises(InputError, match=f"case 7 has no {lacks}; score it first"):
        ordered(strategy, [Candidate("case 7")], Query(1))


def test_two_cases_of_one_name_and_an_empty_query_are_refused():
    with pytest.raises(InputError, match="one name"):
        ordered(Strategy.RANDOM, [Candidate("a"), Candidate("a")], Query(1))
    with pytest.raises(InputError, match="query of 0 cases"):
        Query(0)


def test_an_image_without_features_comes_first():
    given = [*cases(0.1, 0.2, 0.3), Candidate("nothing seen")]
    assert ordered(Strategy.CORESET, given, Query(2))[0] == "nothing seen"


def test_core_set_takes_what_is_farthest_from_all_that_is_known():
    points = np.array([[0.0, 0], [1, 0], [2, 0], [10, 0], [0, 6]])
    rng = np.random.default_rng(0)
    assert k_centers(points, np.array([[0.0, 0]]), 2, rng)[:2] == [3, 4]
    first = k_centers(points, np.zeros((0, 2)), 3, rng)
    assert first[:2] == [2, 3]  # the nearest to the mean (2.6, 1.2), then the farthest from it


def test_k_means_takes_one_of_each_cluster_and_last_of_the_one_that_is_known():
    rng = np.random.default_rng(1)
    points = np.concatenate([np.array([x, 0.0]) + rng.normal(0, 0.1, (10, 2)) for x in (0, 10, 20)])
    order = k_means_order(points, np.zeros((0, 2)), 3, np.random.default_rng(0))
    assert {n // 10 for n in order[:3]} == {0, 1, 2} and sorted(order) == list(range(30))
    known = np.array([[10.0, 0.0]])
    assert {n // 10 for n in k_means_order(points, known, 2, np.random.default_rng(0))[:2]} == {0, 2}


def test_the_typical_case_of_a_cluster_is_its_densest_and_not_its_outlier():
    points = np.array([[0.0], [0.1], [0.2], [0.15], [3.0], [50.0], [50.1], [50.2], [56.0]])
    order = typical_order(points, np.zeros((0, 1)), 2, np.random.default_rng(0))
    assert set(order[:2]) <= {0, 1, 2, 3, 5, 6, 7}
    assert {n > 4 for n in order[:2]} == {True, False}


def test_every_strategy_has_a_ranking_and_a_scorer_and_the_default_is_one():
    assert set(RANKINGS) == set(SCORER_OF) == set(Strategy) and DEFAULT in Strategy
    assert all(strategy_named(strategy.value) is strategy for strategy in Strategy)
    assert "random" not in {strategy.value for strategy in Strategy}  # viewers mean the configured strategy by it


def test_an_unknown_strategy_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean entropy"):
        strategy_named("entropie")


@pytest.mark.parametrize("strategy", Strategy, ids=lambda s: s.value)
def test_the_scorer_of_a_strategy_gives_what_it_reads(strategy):
    scorer = SCORER_OF[strategy]
    score = ImageScore(0.4, (0.1, 0.2, 0.3), TUMOR, (), (0.5, 0.5))
    candidates = [candidate_of(f"case {n}", scorer, score) for n in range(3)]
    assert len(ordered(strategy, candidates, Query(2))) == 3
    assert compares_with_labelled(strategy) == (strategy in (Strategy.KMEANS, Strategy.CORESET, Strategy.COLD_START))


def test_a_patient_is_as_unsure_as_its_worst_image_and_shows_what_all_show():
    one = ImageScore(0.2, (0.1, 0.2, 0.0), (10.0, 1.0, 0.0), (Why(0.2),), (1.0, 0.0))
    other = ImageScore(0.5, (0.3, 0.0, 0.0), (20.0, 0.0, 2.0), (Why(0.5),), (0.0, 1.0))
    found = joined([one, other])
    assert (found.value, found.by_class, found.ml_by_class) == (0.5, (0.3, 0.2, 0.0), (30.0, 1.0, 2.0))
    assert found.features == (0.5, 0.5) and found.why == Why(0.5)
    assert (
        math.isnan(candidate_of("a", Scorer.BALD, found).entropy) and candidate_of("a", Scorer.BALD, found).bald == 0.5
    )


def test_the_order_of_a_round_is_made_once_and_handed_out_to_its_end():
    made = []

    def make(free):
        made.append(len(free))
        return sorted(free, reverse=True)

    orders = RoundOrders()
    assert orders.of(("entropy", "digest", 0), ["a", "b", "c"], make) == ("c", "b", "a")
    assert orders.of(("entropy", "digest", 0), ["a", "b", "new"], make) == ("b", "a", "new")
    assert orders.of(("entropy", "digest", 1), ["a", "new"], make) == ("new", "a")
    assert made == [3, 2]


def test_one_case_at_a_time_a_round_keeps_its_guarantee():
    """What goes wrong without the order of a round: each new order would begin with the least sure case again."""
    given = {case.name: case for case in cases(*np.linspace(0.9, 0.1, 20).tolist(), ml=NO_MASS)}
    given["case 019"] = replace(given["case 019"], ml_by_class=CYST)
    orders, served = RoundOrders(), []
    for _ in range(4):
        free = [name for name in given if name not in served]
        order = orders.of("round", free, lambda names: ordered(Strategy.ENTROPY, [given[n] for n in names], Query(4)))
        served.append(order[0])
    assert any(given[name].shows(Structure.CYST) for name in served)
