"""The results of a simulation in its folder: tables, charts, the verdict, and one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from renalct import __version__
from renalct.formats.output_folder import filled_folder
from renalct.learning.acquisition.strategies import Strategy
from renalct.learning.simulation.analysis import Simulated, against, gathered, winner
from renalct.learning.simulation.charts import figures
from renalct.learning.simulation.records import SCHEMA_VERSION, SimulationRecord, all_rounds, read_simulation
from renalct.learning.simulation.tables import against_table, penalty_table, round_table, strategy_table
from renalct.metrics.evaluation_page import Page, Section, render_evaluation
from renalct.metrics.tables import Table, write_table
from renalct.models.values import to_json

RESULTS, PAGE, VERDICT = "results", "simulation.html", "verdict.json"
BASELINE = Strategy.FG_RANDOM.value
_SUBJECT = "Annotation was simulated: readers' labels of whole cases were revealed when a strategy asked for them."


@dataclass(frozen=True)
class Verdict:
    """The strategy that the simulation supports as default by the claim rule, and the sentence that says why."""

    strategy: str
    supported: bool
    sentence: str
    seeds: int


def write_results(folder: Path, strategies: Sequence[Strategy]) -> tuple[Verdict, tuple[Table, ...]]:
    """Compare whatever is finished in a simulation's folder, and write it to `folder/results`.

    Raises `OutputError` when the folder holds no simulation, or cannot be written.
    """
    record = read_simulation(folder)
    simulated = gathered(all_rounds(folder), [strategy.value for strategy in strategies], record.rounds)
    data = f"{record.data}, {len(record.test)} test patients"
    tables = (
        strategy_table(simulated, data),
        against_table(simulated, BASELINE, data),
        penalty_table(simulated, data, adjusted=False),
        penalty_table(simulated, data, adjusted=True),
        round_table(simulated, data),
    )
    verdict = verdict_of(simulated)
    charts = figures(simulated)
    page = Page(
        f"strategies of active learning on {record.data}",
        _SUBJECT,
        (),
        (verdict.sentence, *_notices(simulated)),
        (
            Section("strategies", "Strategies", (), tables[:2], (charts[0], charts[3])),
            Section("classes", "By class", (), (), (charts[1],)),
            Section("cost", "By contour", (), (), (charts[2],)),
            Section("pairs", "Who beats whom", (), tables[2:4], (charts[4],)),
            Section("rounds", "Round by round", (), tables[4:], (), folded=True),
        ),
        _facts(record, simulated),
        heading="Simulation",
        legend="",
    )
    with filled_folder(folder / RESULTS) as place:
        for table in tables:
            write_table(table, place)
        for chart in charts:
            (place / f"{chart.words.name}.png").write_bytes(chart.png)
            (place / f"{chart.words.name}.svg").write_bytes(chart.svg)
        (place / PAGE).write_text(render_evaluation(page), encoding="utf-8")
        text = json.dumps({"schema_version": SCHEMA_VERSION, **to_json(verdict)}, indent=1)
        (place / VERDICT).write_text(text + "\n", encoding="utf-8")
    return verdict, tables


def verdict_of(simulated: Simulated) -> Verdict:
    """The verdict by the claim rule: foreground-aware random, unless a strategy gains on it with P < 0.05 (paired t
    over seeds of the area under the budget curve, Holm over the strategies)."""
    n = len(simulated.seeds)
    found = against(simulated, BASELINE)
    if not found or n < 2:
        why = "no strategy was compared with it" if not found else f"{n} finished seed tells nothing of chance"
        sentence = f"No claim: {why}. The default stays {BASELINE}."
        return Verdict(BASELINE, False, sentence, n)
    best = winner(found, BASELINE)
    if best == BASELINE:
        nearest = min(found, key=lambda each: each.p_holm if each.difference > 0 else 2.0)
        detail = (
            f"the nearest is {nearest.strategy} ({nearest.difference:+.4f}, P {nearest.p_holm:.3f} after Holm)"
            if nearest.difference > 0
            else "every other strategy has a smaller area"
        )
        sentence = f"No strategy gains on {BASELINE} with P < 0.05 over {n} seeds; {detail}. The default is {BASELINE}."
        return Verdict(BASELINE, True, sentence, n)
    gain = next(each for each in found if each.strategy == best)
    sentence = (
        f"{best} gains {gain.difference:+.4f} of area on {BASELINE} over {n} seeds (P {gain.p_holm:.4f} after Holm). "
        f"The default that this supports is {best}."
    )
    return Verdict(best, True, sentence, n)


def _notices(simulated: Simulated) -> tuple[str, ...]:
    found = ["Simulated readers make no errors and ask for nothing: gains in a clinic are smaller (arXiv 2404.01816)."]
    if simulated.unfinished:
        found.append(f"{simulated.unfinished} seeds are not finished by every strategy and are left out.")
    return tuple(found)


def _facts(record: SimulationRecord, simulated: Simulated) -> tuple[tuple[str, str], ...]:
    found = (
        (
            "Data",
            f"{record.data}: {record.patients} patients, {len(record.pool)} in the pool, {len(record.test)} tested",
        ),
        ("Licence", record.licence),
        ("Split", f"by patient, frozen, sha256 {record.split_sha256[:12]}"),
        ("Network", f"{record.recipe_name}, sha256 {record.recipe_sha256[:12]}"),
        ("Budget", f"{record.start} cases at the start, then {record.rounds} rounds of {record.per_round}"),
        ("Training", f"{record.start_steps} steps at the start, {record.steps} more in each round"),
        ("Seeds", ", ".join(map(str, simulated.seeds)) or "none finished"),
        ("renalct", __version__),
    )
    return tuple((name, text) for name, text in found if text)
