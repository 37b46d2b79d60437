"""Errors: the three situations, and how a mistake is shown."""

from __future__ import annotations

import pytest

from simulator.errors import (
    SHOWN,
    InfeasibleError,
    Problem,
    SimulatorError,
    SpecError,
    UnknownNameError,
    nearest,
)


def test_a_problem_shows_the_line_a_caret_and_the_hint() -> None:
    problem = Problem(
        "unknown field",
        path="training.global_batch_sise",
        file="scenarios/llama3-70b.yaml",
        line=14,
        column=3,
        text="  global_batch_sise: 1024",
        before="  seq_length: 8192",
        hint="did you mean global_batch_size?",
    )
    assert str(problem).splitlines() == [
        "scenarios/llama3-70b.yaml:14:3  training.global_batch_sise: unknown field",
        "  13 |   seq_length: 8192",
        "  14 |   global_batch_sise: 1024",
        "     |   ^ did you mean global_batch_size?",
    ]


def test_the_caret_stands_under_the_column_of_a_long_line() -> None:
    text = "x" * 500 + "HERE" + "y" * 500
    lines = str(Problem("wrong", file="f", line=1, column=501, text=text)).splitlines()
    assert all(len(line) < 130 for line in lines)
    assert lines[1][lines[2].index("^") :].startswith("HERE")


def test_control_characters_do_not_reach_the_terminal() -> None:
    shown = str(Problem("wrong", path="a\x1b[31m", file="f", line=1, column=1, text="a\x1b[31mred\x07"))
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_all_problems_are_printed_and_counted() -> None:
    error = SpecError([Problem("one", file="f"), Problem("two", file="f")])
    assert str(error).splitlines() == ["f  one", "f  two", "2 errors"]


def test_many_problems_are_cut_and_the_rest_counted() -> None:
    text = str(SpecError([Problem(f"p{i}") for i in range(SHOWN + 5)]))
    assert "and 5 more" in text
    assert f"{SHOWN + 5} errors" in text
    assert f"p{SHOWN}" not in text


def test_a_problem_without_a_file_still_has_its_path_and_hint() -> None:
    assert str(Problem("is missing", path="hardware.n_gpus", hint="add n_gpus: 64")).splitlines() == [
        "hardware.n_gpus: is missing",
        "  add n_gpus: 64",
    ]


def test_one_root_catches_every_error() -> None:
    for error in (SpecError("x"), InfeasibleError("x"), UnknownNameError("x")):
        assert isinstance(error, SimulatorError)
        with pytest.raises(SimulatorError):
            raise error


def test_an_infeasible_plan_names_the_smallest_change() -> None:
    error = InfeasibleError("does not fit", details=("weights 17.5 GiB",), remedies=("tp 4 -> 8",))
    assert str(error).splitlines() == ["does not fit", "  weights 17.5 GiB", "  smallest change: tp 4 -> 8"]


@pytest.mark.parametrize(
    ("typed", "names", "expected"),
    [
        ("global_batch_sise", ["micro_batch_size", "global_batch_size"], ["global_batch_size"]),
        ("TP", ["tp", "pp"], ["tp"]),
        ("h200", ["h200-sxm-141gb", "h100-sxm-80gb"], ["h200-sxm-141gb"]),
        ("3090", ["b300-sxm-288gb", "rtx-3090-24gb", "b300"], ["rtx-3090-24gb"]),
        ("qqqq", ["tp", "pp"], []),
        ("", ["tp"], []),
        ("---", ["tp"], []),
    ],
)
def test_nearest_names(typed: str, names: list[str], expected: list[str]) -> None:
    assert nearest(typed, names, count=1) == expected


def test_an_unknown_name_with_no_neighbour_lists_what_exists() -> None:
    assert (
        UnknownNameError("qqqq", kind="clock", names=["flops", "roofline"]).hint == "known: flops, roofline"
    )


def test_a_long_name_is_cut() -> None:
    assert len(str(UnknownNameError("x" * 100_000, kind="model", names=["llama"]))) < 200
