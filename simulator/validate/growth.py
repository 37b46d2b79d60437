"""Check predicted savings of growing against published ones, each under its own accounting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulator.growth import accounting, published
from simulator.growth import evidence as growth_evidence
from simulator.growth.published import Case

POINTS = 10.0
"""Tolerance of ``within_10_points``, in percentage points of saving."""


def predict_case(one: Case, *, cases: Sequence[Case], leave: str = "case") -> float:
    """Predict a saving from evidence that leaves out the case itself, or its whole paper. [-]

    Rows of the same paper still serve to find earlier stages of a run (parameters and tokens, never savings).
    """

    def may_be_seen(other: Case) -> bool:
        return other.id != one.id and (leave == "case" or other.paper != one.paper)

    kept = [c for c in cases if may_be_seen(c)]
    found = [e for e in growth_evidence.shipped_evidence() if may_be_seen(e.case)]
    if growth_evidence.kind(one) == "architecture" or growth_evidence.changes_architecture(one):
        return growth_evidence.predict(one, cases=kept, found=found)
    stages = [c for c in cases if c.id != one.id]
    return accounting.predicted_saving(one, kappa=growth_evidence.expected_kappa(one, found), cases=stages)


def score(rows: Sequence[dict[str, Any]]) -> dict[str, float | int | None]:
    """Share of cases whose direction is right and whose saving is within `POINTS`."""
    if not rows:
        return {"n": 0, "direction_right": None, "within_10_points": None, "median_error_points": None}
    errors = [abs(row["predicted_saving_pct"] - row["published_saving_pct"]) for row in rows]
    return {
        "n": len(rows),
        "direction_right": float(np.mean([row["pays_predicted"] == row["pays_published"] for row in rows])),
        "within_10_points": float(np.mean([error <= POINTS for error in errors])),
        "median_error_points": float(np.median(errors)),
    }


def validate_growth(path: str | Path, *, leave: str = "case") -> dict[str, Any]:
    """Predict every published case of a table and compare.

    Parameters
    ----------
    path : str or Path
        A table with the columns of ``measurements/growth.csv``.
    leave : {"case", "paper"}, optional
        What the evidence leaves out for each prediction: the case itself, or all cases of its paper.

    Returns
    -------
    dict
        `n`, `n_skipped` (no published saving), `skipped` (reason to count), `rows` (`id`, `predicted_saving_pct`,
        `published_saving_pct`, `pays_predicted`, `pays_published`, with `kind`, `match`, `basis`, `src_charged`),
        `direction_right`, `within_10_points`, and the same scores for the cases that charge the source
        (`src_charged_yes`) and with whole papers left out (`leave_one_paper_out`).

    Notes
    -----
    The evidence is the shipped table, never the table under test: a case is predicted from the token efficiencies of
    other cases, its own published values unseen.
    """
    shipped = list(growth_evidence.shipped_cases())
    given = published.read_cases(path)
    known = {one.id for one in shipped}
    # Rows under test lend their stages to each other, not their savings.
    pool = shipped + [_without_results(one) for one in given if one.id not in known]
    stated = [one for one in given if np.isfinite(one.saving)]
    with np.errstate(all="ignore"):
        rows = [_row(one, pool, leave) for one in stated]
    possible = [bool(np.isfinite(row["predicted_saving_pct"])) for row in rows]
    judged = [one for one, fine in zip(stated, possible, strict=True) if fine]
    rows = [row for row, fine in zip(rows, possible, strict=True) if fine]
    reasons = {
        "no published saving": len(given) - len(stated),
        "sizes or tokens that no run can have": len(stated) - len(judged),
    }
    result: dict[str, Any] = {
        **score(rows),
        "n_skipped": len(given) - len(judged),
        "skipped": {reason: count for reason, count in reasons.items() if count},
        "src_charged_yes": score([row for row in rows if row["src_charged"] == "yes"]),
        "rows": rows,
    }
    if leave == "case":
        with np.errstate(all="ignore"):
            apart = [_row(one, pool, "paper") for one in judged]
        result["leave_one_paper_out"] = {
            **score(apart),
            "src_charged_yes": score([row for row in apart if row["src_charged"] == "yes"]),
        }
    return result


def _without_results(one: Case) -> Case:
    from dataclasses import replace

    return replace(one, saving=float("nan"), scratch_value="", grown_value="")


def _row(one: Case, pool: Sequence[Case], leave: str) -> dict[str, Any]:
    predicted = predict_case(_without_results(one), cases=pool, leave=leave)
    return {
        "id": one.id,
        "predicted_saving_pct": 100 * predicted,
        "published_saving_pct": 100 * one.saving,
        "pays_predicted": bool(predicted > 0),
        "pays_published": bool(one.saving > 0),
        "kind": growth_evidence.kind(one),
        "match": one.match,
        "basis": one.basis,
        "src_charged": one.charged,
    }


def accuracy_markdown(path: str | Path) -> str:
    """Return the accuracy on a table of cases as a table for the manual."""
    result = validate_growth(path)
    apart = result["leave_one_paper_out"]
    groups = (
        ("all cases, the case left out", result),
        ("source charged, the case left out", result["src_charged_yes"]),
        ("all cases, the paper left out", apart),
        ("source charged, the paper left out", apart["src_charged_yes"]),
    )
    lines = [
        "| cases | n | direction right | within 10 points | median error, points |",
        "|---|---|---|---|---|",
    ]
    for name, scores in groups:
        lines.append(
            f"| {name} | {scores['n']} | {100 * scores['direction_right']:.0f} % "
            f"| {100 * scores['within_10_points']:.0f} % | {scores['median_error_points']:.1f} |"
        )
    return "\n".join(lines)
