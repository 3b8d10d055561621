"""A decision of the gate in words, as Markdown."""

from __future__ import annotations

from renalct.learning.loop.gate import Decision


def decision_text(decision: Decision, *, candidate: str) -> str:
    """The decision on a candidate: what it was compared with, a sentence per class, harmed cases, and its numbers."""
    lines = [
        f"# Candidate {candidate}: {'accepted' if decision.accepted else 'refused'}",
        "",
        f"Compared with {decision.against}, on the frozen validation set {decision.frozen_sha256[:12]}, whole volumes.",
        f"Reason: {decision.reason}.",
        "",
        "| | before | after | difference | n | patients | margin | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.name} | {each.before:.3f} | {each.after:.3f} | {each.after - each.before:+.3f} "
        f"[{each.low:+.3f} to {each.high:+.3f}] | {each.n} | {each.patients} | {each.margin:g} | {each.verdict.value} |"
        for each in decision.comparisons
    ]
    lines += ["", f"Intervals: {decision.settings.level:.0%} of {decision.settings.resamples} resamples of patients."]
    lines += ["", *(f"- {each}" for each in decision.comparisons)]
    if decision.harms:
        lines += ["", "Harmed cases:", *(f"- {harm}" for harm in decision.harms)]
    before = dict(decision.before)
    lines += ["", "| mean on the frozen set | before | after |", "|---|---|---|"]
    lines += [
        f"| {name} | {f'{before[name]:.3f}' if name in before else ''} | {value:.3f} |"
        for name, value in decision.numbers
    ]
    return "\n".join([*lines, "", "Not for clinical use.", ""])
