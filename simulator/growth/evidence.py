r"""What token efficiency the published cases imply, by the way of growing.

Every number here is computed from ``measurements/growth.csv``: from published savings by inverting
`simulator.growth.accounting.predicted_saving`, or from published losses where an experiment matched tokens. Few
parameters remain: one :math:`\kappa` per kind of growth, the median over papers of each paper's median, read apart for
runs compared by loss and runs compared by a downstream metric.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

import numpy as np

from simulator.growth import accounting, published
from simulator.growth.published import Case

KINDS: tuple[tuple[str, str, str], ...] = (
    ("architecture", "", r"no growth|operators? only|^operator-\d"),
    ("distilled", "fresh", r"\bki\b|distil|inherit"),
    ("upcycled", "copied", r"upcycl|experts?\b|\bmoe\b"),
    ("tuned", "copied", r"growth alone|-grow\b|tuned"),
    ("staged", "copied", r"staged training"),
    ("asymmetric", "copied", r"sparkling|asymmetric|symmetry.break"),
    ("depth random", "fresh", r"(?=.*random)(?=.*(depth|layer|stack))"),
    ("width fresh", "fresh", r"(?=.*width)(?=.*(random|zero|learn))"),
    ("learned", "copied", r"\bligo\b|learned"),
    ("whole", "copied", r"family|compound|lemon|\bmsg\b"),
    ("depth", "copied", r"stack|depth|layer|interpos|mslt|midas|progressive"),
    ("width", "copied", r"width|wid(er|en)|clon|fpi|aki|bert2bert|net2|function.preserving|copy"),
)
"""Kind of growth, its parent, and the words of the method that tell it; the first that matches."""
ARCHITECTURE_WORDS = r"untied|loop|boundary|recurs|prelude|coda"
"""Words of methods that change the architecture and grow at the same time."""


def kind(one: Case) -> str:
    """Kind of growth of a case, from the words of its method.

    Examples
    --------
    >>> [kind(published.case({"method": m})) for m in ("depth growth: stack x4", "width growth: zero", "KI")]
    ['depth', 'width fresh', 'distilled']
    """
    text = one.method.lower()
    return next((name for name, _, words in KINDS if re.search(words, text)), "whole")


def parent(name: str) -> str:
    """Group that a kind falls back to: ``copied`` or ``fresh``."""
    return next((group for kind_name, group, _ in KINDS if kind_name == name), "copied")


def regime(one: Case) -> str:
    """``metric`` if a downstream metric was matched or the model is an encoder, else ``loss``."""
    by_metric = one.match in {"equal_metric", "equal_accuracy"} or published.is_encoder(one)
    return "metric" if by_metric else "loss"


@dataclass(frozen=True)
class Evidence:
    """Token efficiency implied by one case."""

    case: Case
    kind: str
    regime: str
    kappa: float
    how: str
    """``saving`` (inverted) or ``losses`` (equal tokens)."""


def evidence(cases: Sequence[Case]) -> list[Evidence]:
    """Infer a token efficiency from every case that allows it; those that change the architecture are left out."""
    found = []
    for one in cases:
        name = kind(one)
        if name == "architecture" or changes_architecture(one):
            continue
        by_losses = accounting.kappa_from_losses(one, cases)
        kappa, how = (by_losses, "losses") if np.isfinite(by_losses) else (np.nan, "saving")
        if how == "saving" and not one.match.startswith("equal_tokens"):
            kappa = accounting.implied_kappa(one)
        if np.isfinite(kappa):
            found.append(Evidence(one, name, regime(one), float(kappa), how))
    return found


def changes_architecture(one: Case) -> bool:
    """Whether a case grows and changes the architecture too."""
    return kind(one) != "architecture" and bool(re.search(ARCHITECTURE_WORDS, one.method.lower()))


def median_over_papers(found: Iterable[Evidence]) -> float:
    """Median over papers of each paper's median, so that no paper counts by its number of rows; ``nan`` if empty."""
    by_paper: dict[str, list[float]] = {}
    for one in found:
        by_paper.setdefault(one.case.paper, []).append(one.kappa)
    return median(median(values) for values in by_paper.values()) if by_paper else float("nan")


def expected_kappa(one: Case, found: Sequence[Evidence]) -> float:
    """Token efficiency to expect of a case: of its kind and regime, else of ever wider groups.

    Examples
    --------
    >>> expected_kappa(published.case({"method": "depth growth"}), [])
    1.0
    """
    name, matched = kind(one), regime(one)
    group = parent(name)
    steps: tuple[Callable[[Evidence], bool], ...] = (
        lambda e: e.kind == name and e.regime == matched,
        lambda e: parent(e.kind) == group and e.regime == matched,
        lambda e: parent(e.kind) == group,
        lambda e: np.isfinite(e.kappa),
    )
    for accept in steps:
        value = median_over_papers(e for e in found if accept(e))
        if np.isfinite(value):
            return value
    return 1.0


def architecture_multiplier(one: Case, cases: Iterable[Case]) -> float:
    """Compute multiplier of architecture changes without growth, at the compute of a case. [-]

    A straight line in the logarithm of compute through the published multipliers of changes alone; 1 without them.
    """
    points = [
        (np.log10(compute(c)), -np.log(1 - c.saving))
        for c in cases
        if kind(c) == "architecture" and np.isfinite(c.saving) and np.isfinite(compute(c))
    ]
    at = np.log10(compute(one))
    if not points or not np.isfinite(at):
        return float(np.exp(np.mean([y for _, y in points]))) if points else 1.0
    x, y = np.array(points).T
    slope = 0.0 if np.ptp(x) == 0 else float(np.polyfit(x - x.mean(), y, 1)[0])
    return float(np.exp(y.mean() + slope * (at - x.mean())))


def compute(one: Case) -> float:
    """Training compute named in the metric, such as ``1e20 FLOPs``; ``nan`` if none is. [FLOP]"""
    found = re.search(r"(\d+(?:\.\d+)?e\d+) flop", one.metric.lower())
    return float(found.group(1)) if found else float("nan")


def predict(one: Case, *, cases: Sequence[Case], found: Sequence[Evidence] | None = None) -> float:
    """Saving predicted for a case from the evidence of other cases. [-]

    Parameters
    ----------
    one : Case
        The case; its published saving and losses are not looked at.
    cases : sequence of Case
        The evidence, and the rows among which earlier stages of `one` are found. Leave `one` out.
    found : sequence of Evidence, optional
        ``evidence(cases)``, if at hand.
    """
    found = evidence(cases) if found is None else found
    if kind(one) == "architecture":
        return 1 - 1 / architecture_multiplier(one, cases)
    saving = accounting.predicted_saving(one, kappa=expected_kappa(one, found), cases=cases)
    if changes_architecture(one):
        saving = 1 - (1 - saving) / architecture_multiplier(one, cases)
    return saving


# --- the table ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def shipped_cases() -> tuple[Case, ...]:
    """Return the cases of ``measurements/growth.csv`` that ship with the package."""
    from simulator import library

    return tuple(published.read_cases(library.find("measurements", "growth")))


@lru_cache(maxsize=1)
def shipped_evidence() -> tuple[Evidence, ...]:
    """Return the token efficiencies that the shipped cases imply."""
    return tuple(evidence(shipped_cases()))


def kappa_table(cases: Sequence[Case] | None = None) -> list[dict[str, object]]:
    """Token efficiency by kind and regime: cases, papers, lowest, median over papers, highest.

    Examples
    --------
    >>> rows = {(row["kind"], row["regime"]): row["kappa"] for row in kappa_table()}
    >>> round(rows["depth", "loss"], 1)
    1.5
    """
    found = shipped_evidence() if cases is None else evidence(cases)
    rows: list[dict[str, object]] = []
    for name, matched in sorted({(e.kind, e.regime) for e in found}):
        group = [e for e in found if (e.kind, e.regime) == (name, matched)]
        values = [e.kappa for e in group]
        rows.append(
            {
                "kind": name,
                "regime": matched,
                "cases": len(group),
                "papers": len({e.case.paper for e in group}),
                "low": min(values),
                "kappa": median_over_papers(group),
                "high": max(values),
            }
        )
    return rows


def kappa_quantiles(
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    cases: Sequence[Case] | None = None,
    *,
    charged_only: bool = True,
) -> list[float]:
    """Quantiles of the implied token efficiency, each paper with equal weight.

    Parameters
    ----------
    quantiles : sequence of float, optional
        Shares between 0 and 1. [-]
    cases : sequence of Case, optional
        The evidence; the shipped table if absent.
    charged_only : bool, optional
        Use only comparisons by loss in which the source was charged: what a planner pays for.
    """
    found = shipped_evidence() if cases is None else evidence(cases)
    used = [e for e in found if not charged_only or (e.case.charged == "yes" and e.regime == "loss")]
    papers = [e.case.paper for e in used]
    values = np.array([e.kappa for e in used])
    weights = np.array([1 / papers.count(paper) for paper in papers])
    order = np.argsort(values)
    position = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    return [float(np.interp(q, position, values[order])) for q in quantiles]


def kappa_markdown() -> str:
    """Return the evidence as a table for the manual.

    ``python -c "from simulator.growth import evidence; print(evidence.kappa_markdown())"`` prints it.
    """
    lines = [
        "| kind of growth | compared by | cases | papers | lowest | kappa | highest |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in kappa_table():
        low, middle, high = (f"{row[key]:.2f}" for key in ("low", "kappa", "high"))
        lines.append(
            f"| {row['kind']} | {row['regime']} | {row['cases']} | {row['papers']} | {low} | {middle} | {high} |"
        )
    return "\n".join(lines)
