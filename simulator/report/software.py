"""The page docs/software.md: what the software stacks do differently, with the constants of their calibration sets."""

from __future__ import annotations

import dataclasses
import typing

from simulator import calibrations
from simulator.device import Constants
from simulator.report.tables import Table
from simulator.report.text import number
from simulator.schema.scenario import Scenario, Software
from simulator.search.software import (
    AUTOCASTS,
    COMPILES,
    INTERLEAVES,
    LACKS,
    MEMORY_OF,
    SPLITS,
    ZERO_OF,
    ZERO_WITH_TP,
)
from simulator.validate.profiles import PROFILES, USUAL

UNITS = {"_s": ("ms", 1e3), "_bytes": ("B", 1.0)}
"""End of the name of a constant, to its unit on the page and the factor from SI."""

WAYS = ("softmax_multiple", "stage_balance")
"""Constants that number the ways of a stack, and measure nothing."""

INTRODUCTION = """
The same layout takes different times under different software: kernels are issued faster or slower, fused or not, and
communication hides behind computation or does not. Each stack has a calibration set with a handful of constants, fitted
to the runs that were made with it.

## Choosing one

```yaml
software: fsdp          # beside model, training, hardware
```

or `--set software=fsdp` on the command line. If a scenario names none, it is `{usual}`. The error for an unknown name recognises
other tools (`torch` is called `fsdp` here, `nemo` is called `megatron`). In a table of runs the first known word of the column
`framework` decides, as listed in [validation.md](validation.md#defaults-of-frameworks); a row without a known word is taken for a
current Megatron-Core stack.
"""


def page() -> str:
    """The page in Markdown."""
    usual = str(Scenario.model_fields["software"].default)
    lines = [
        "<!-- Written by `python docs/refresh.py software`; do not edit. -->",
        "# Software stacks",
        *INTRODUCTION.format(usual=usual).splitlines(),
        "",
    ]
    for table in (_choices(usual), _splits(), _lacks(), _profiles(), *_constants()):
        lines += [*table.markdown(), ""]
    return "\n".join(lines).rstrip() + "\n"


def _choices(usual: str) -> Table:
    rows = []
    for name in typing.get_args(Software):
        stages = " or ".join(str(each) for each in ZERO_OF.get(name, (1, 3)))
        rows.append(
            (
                f"`{name}`" + (" (default)" if name == usual else ""),
                f"`{calibrations.software_set(name)}`",
                f"`{MEMORY_OF.get(name, name)}`",
                stages,
                "yes" if name in INTERLEAVES else "no",
                "yes" if name in COMPILES else "no",
                "yes, unless LoRA" if name in AUTOCASTS else "no",
            )
        )
    heads = (
        "`software:`",
        "constants",
        "memory profile",
        "ZeRO stages tried",
        "interleaved stages",
        "compiles",
        "autocast",
    )
    note = (
        "ZeRO stages, interleaving, compilation and autocast are what the planner tries or assumes if the scenario leaves "
        "them open; `parallelism`, `training.compile` and `training.autocast` fix them. Weights that LoRA "
        "freezes are kept in 16 bits and not cast."
    )
    return Table("What can be chosen", heads, rows, left=(0, 1, 2), note=note)


def _splits() -> Table:
    rows = [
        (f"`{name}`", *("no" if way in LACKS.get(name, {}) else "yes" for way in SPLITS))
        for name in typing.get_args(Software)
    ]
    heads = ("`software:`", *(f"{words} (`{name}`)" for name, words in SPLITS.items()))
    note = (
        "The planner chooses no way to split a model that says no here; one that is written under `parallelism` is taken, with the "
        "warning [software](warnings.md#software)."
    )
    note += "".join(
        f" Beside tensor parallelism `{name}` gets ZeRO up to {stage}."
        for name, stage in ZERO_WITH_TP.items()
    )
    return Table("Ways to split a model that are tried", heads, rows, left=(0,), note=note)


def _lacks() -> Table:
    rows = [
        (f"`{name}`", f"`{way}`", reason) for name, lacks in LACKS.items() for way, reason in lacks.items()
    ]
    return Table("Why others are not", ("`software:`", "not tried", "reason"), rows, left=(0, 1, 2))


def _profiles() -> Table:
    rows = []
    for name in dict.fromkeys([*(each.software for each in PROFILES.values()), USUAL.software]):
        words = ", ".join(word for word, profile in PROFILES.items() if profile.software == name)
        usual = [profile for profile in PROFILES.values() if profile.software == name]
        rows.append(
            (
                f"`{name}`",
                words,
                _either("fused" if each.flash_attention else "plain" for each in usual),
                _either("yes" if each.sequence_parallel else "no" for each in usual),
                _either(str(each.zero_stage) for each in usual),
            )
        )
    heads = ("constants", "words in `framework`", "attention", "sequence parallel", "ZeRO")
    note = "Where there are several values, the word decides; the table by word is in [validation.md](validation.md#defaults-of-frameworks)."
    return Table("What a measured run is taken to have done", heads, rows, left=(0, 1, 2, 3, 4), note=note)


def _either(values: typing.Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(values))


def _constants() -> list[Table]:
    sets = {name: one for name, one in calibrations.sets().items() if one.kind == "software"}
    meanings = _meanings()
    rows = []
    for constant in calibrations.SOFTWARE_CONSTANTS:
        unit, factor = next((each for end, each in UNITS.items() if constant.endswith(end)), ("-", 1.0))
        cells = []
        for one in sets.values():
            found = one.constants.get(constant)
            mark = "" if found is None or found.status == "fitted" else " p"
            text = "-" if found is None else f"{number(factor * found.value, 3)}{mark}"
            cells.append(f"{found.value:.0f}" if found is not None and constant in WAYS else text)
        rows.append((f"`{constant}` [{unit}]", *cells))
    table = Table(
        "Constants",
        ("", *(f"`{name}`" for name in sets)),
        rows,
        note="p: the runs do not identify the constant, so it is the mean of the stacks, or its own prior. `nanotron-early` is "
        "nanotron before the repair of its pipeline engine, `megatron-2021` Megatron-LM before sequence parallelism and overlap; neither is "
        "used for planning. Intervals and sources are in `hardware_specs/calibrations/`; `trainsim calibrate` writes them.",
    )
    backing = [
        (
            f"`{name}`",
            f"{one.provenance.rows:,}",
            ", ".join(one.provenance.groups[:6]) + _more(one.provenance.groups),
        )
        for name, one in sets.items()
    ]
    return [
        table,
        Table("What they mean", ("constant", "meaning"), [(f"`{n}`", meanings[n]) for n in calibrations.SOFTWARE_CONSTANTS], left=(0, 1)),
        Table("What they were fitted to", ("constants", "rows", "measured by"), backing, left=(0, 2)),
    ]  # fmt: skip


def _more(groups: typing.Sequence[str], most: int = 6) -> str:
    return f" and {len(groups) - most} more" if len(groups) > most else ""


def _meanings() -> dict[str, str]:
    """Meaning of each constant, from the strings below the fields of `Constants`."""
    import ast
    import inspect
    import textwrap

    body = ast.parse(textwrap.dedent(inspect.getsource(Constants))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for first, second in zip(body.body[:-1], body.body[1:], strict=True):
        if isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name):
            text = second.value if isinstance(second, ast.Expr) else None
            if isinstance(text, ast.Constant):
                found[first.target.id] = " ".join(str(text.value).split())
    return {each.name: found.get(each.name, "") for each in dataclasses.fields(Constants)}
