"""Two answers beside each other, and whether their difference is larger than what is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.report.text import number, style, table

SECTIONS = {
    "model": "params active_params num_hidden_layers hidden_size intermediate_size num_attention_heads "
    "num_key_value_heads vocab_size num_experts num_experts_per_tok",
    "hardware and layout": "accelerator n_gpus tp pp dp cp ep vp zero_stage shard_group sequence_parallel recompute cuda_graphs fp8_attention "
    "fused_experts dispatcher expert_overlap precision optimizer "
    "micro_batch_size num_microbatches global_batch_size seq_length",
    "speed": "step_time_s tokens_per_s_per_gpu model_tflops_per_gpu mfu hfu",
    "step by level": "breakdown",
    "memory": "memory_gib memory_margin_gib memory_verdict memory",
    "run": "tokens steps time_to_train_days gpu_hours cost_usd usd_per_m_tokens energy_mwh loss tokens_per_param",
}
"""What is compared, in the order in which it is shown."""


def difference(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    *,
    names: tuple[str, str] = ("first", "second"),
    every: bool = False,
) -> dict[str, Any]:
    """Rows where two results differ.

    Parameters
    ----------
    first, second : mapping
        `Result.to_dict`.
    names : (str, str), optional
        Titles of the columns.
    every : bool, optional
        Also rows that are equal.

    Returns
    -------
    dict
        ``names``, ``feasible`` and ``rows`` with ``section figure first second ratio certain``; ``certain`` is true where the
        80 % intervals do not overlap, false where they do, and absent for figures without an interval.
    """
    a, b = first["answer"], second["answer"]
    rows = []
    for section, figures in SECTIONS.items():
        for figure in figures.split():
            for key, one, other in _leaves(figure, a.get(figure), b.get(figure)):
                if every or one != other:
                    rows.append(_row(section, key, one, other, a, b))
    return {"names": list(names), "feasible": [first["feasible"], second["feasible"]], "rows": rows}


def _leaves(figure: str, one: Any, other: Any) -> list[tuple[str, Any, Any]]:
    """A figure, or the entries of a nested one."""
    if isinstance(one, Mapping) or isinstance(other, Mapping):
        left, right = one or {}, other or {}
        return [(f"{figure}.{key}", left.get(key), right.get(key)) for key in dict.fromkeys([*left, *right])]
    return [] if one is None and other is None else [(figure, one, other)]


def _row(
    section: str, key: str, one: Any, other: Any, a: Mapping[str, Any], b: Mapping[str, Any]
) -> dict[str, Any]:
    row: dict[str, Any] = {"section": section, "figure": key, "first": one, "second": other}
    if _is_number(one) and _is_number(other) and one:
        row["ratio"] = other / one
    bounds = [x.get("interval", {}).get(key) for x in (a, b)]
    if all(bounds):
        (low_1, high_1), (low_2, high_2) = bounds
        row["certain"] = bool(high_1 < low_2 or high_2 < low_1)
    return row


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) < 100_000:
        return str(value)
    return number(value) if _is_number(value) else "-" if value is None else str(value)


def cells(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str, str, str]]:
    """Section, figure, both values, their ratio, and whether the intervals tell them apart."""
    return [
        (
            row["section"],
            row["figure"].rpartition(".")[2],
            _shown(row["first"]),
            _shown(row["second"]),
            f"x {row['ratio']:.3g}" if "ratio" in row else "",
            {True: "", False: "intervals overlap"}.get(row.get("certain", True), ""),
        )
        for row in rows
    ]


def page(compared: Mapping[str, Any], *, color: bool = False) -> str:
    """The rows by section."""
    lines = []
    for name, runs in zip(compared["names"], compared["feasible"], strict=True):
        lines += [] if runs else [style(f"{name}: no plan runs", "red", color=color)]
    rows = compared["rows"]
    if not rows:
        return "\n".join([*lines, "the two plans are equal"]) + "\n"
    titles = [name if len(name) <= 24 else "..." + name[-21:] for name in compared["names"]]
    body = []
    for section in dict.fromkeys(row["section"] for row in rows):
        own = [row for row in rows if row["section"] == section]
        body += [(section.upper(), "", "", "", "")]
        body += [(f"  {cell[1]}", *cell[2:]) for cell in cells(own)]
    lines += table(("", *titles, "ratio", ""), body, left=(0, 4), indent=0)
    return "\n".join(lines) + "\n"
