"""The page that people read: pieces, sections, golden pages."""

from __future__ import annotations

import copy
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cli import main
from simulator.errors import SpecError
from simulator.report import accuracy, decision, growth, html, output, sections, terminal, text
from simulator.report.tables import Table

GOLDEN = Path(__file__).parent / "golden"
PAGES = sorted(path.stem for path in GOLDEN.glob("*.json"))
CODES = re.compile(r"\x1b\[[0-9;]*m")


def stored(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("name", PAGES)
def test_golden_page(name: str) -> None:
    """A stored result gives the stored page; after a wanted change: python docs/refresh.py golden."""
    assert terminal.page(stored(name)) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_there_are_golden_pages() -> None:
    assert {"quickstart", "gpt-3-175b", "does-not-fit"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_pages_keep_to_the_width(name: str) -> None:
    assert max(map(len, terminal.page(stored(name)).splitlines())) <= text.WIDTH


@pytest.mark.parametrize("name", PAGES)
def test_color_changes_nothing_but_codes(name: str) -> None:
    plain, colored = terminal.page(stored(name)), terminal.page(stored(name), color=True)
    assert "\x1b" not in plain
    assert colored != plain
    assert CODES.sub("", colored) == plain


def test_the_decision_comes_first_with_the_interval_before_the_point() -> None:
    document = stored("gpt-3-175b")
    low, high = document["answer"]["interval"]["time_to_train_days"]
    sentence = decision.decision(document)
    assert f"{low:.0f} to {high:.0f} days" in sentence
    lines = terminal.page(document).splitlines()
    assert lines[3].startswith("Training gpt-3-175b")
    point = next(i for i, line in enumerate(lines) if "(point" in line)
    assert point > 3


def test_a_plan_that_does_not_fit_says_by_how_much_and_what_to_change() -> None:
    document = stored("does-not-fit")
    page = terminal.page(document)
    head = page.split("\n\n")[1]
    assert "does not run" in head
    assert "comes closest" in head
    assert "Smallest change: " in head
    assert "DOES NOT FIT" in page
    assert f"{document['infeasible']['needed']:.1f}" in head


def test_nothing_at_all_is_a_page_too() -> None:
    document = stored("does-not-fit")
    document |= {
        "answer": {},
        "binding": {},
        "family": {},
        "infeasible": {"reason": "devices", "text": "no layout"},
    }
    page = terminal.page(document)
    assert "No plan keeps all limits. No layout." in page
    assert "Memory" not in page.split("What was searched")[0]


def test_breakdown_rows_sum_to_the_total() -> None:
    answer = stored("gpt-3-175b")["answer"]
    rows = [line.split() for line in sections.breakdown(answer)[1:]]
    shown = {row[0]: float(row[1]) for row in rows}
    total = shown.pop("total")
    assert math.isclose(sum(shown.values()), total, abs_tol=0.06 * len(shown))
    assert math.isclose(total, answer["step_time_s"], rel_tol=0.01)
    assert len(shown) >= 4


def test_memory_rows_sum_to_the_total() -> None:
    answer = stored("does-not-fit")["answer"]
    numbers = [float(re.findall(r"(\d+\.\d)  ", line)[0]) for line in sections.memory(answer)[1:]]
    assert math.isclose(sum(numbers[:-1]), numbers[-1], abs_tol=0.05 * len(numbers))


def test_bars_are_in_proportion() -> None:
    assert [len(text.bar(share, 20)) for share in (0, 0.25, 0.5, 1.0, 7.0)] == [0, 5, 10, 20, 20]
    assert text.bar(float("nan")) == ""


def test_mfu_stands_beside_its_convention_and_peak() -> None:
    lines = " ".join(" ".join(sections.utilisation(stored("gpt-3-175b")["answer"])).split())
    assert "312 TFLOP/s, the dense bf16 peak" in lines
    assert "megatron convention" in lines
    assert "maxtext" in lines
    assert "HFU" in lines


def test_alternatives_have_the_columns_of_performance_pages_and_say_why() -> None:
    document = stored("quickstart")
    lines = sections.alternatives(document)
    assert lines[0].split()[:10] == "model GPUs GBS MBS seq TP PP CP EP VP".split()
    whys = [row["why"].split(";")[0] for row in document["alternatives"]]
    assert all(any(why in line for line in lines) for why in whys)


def test_no_alternatives_no_section() -> None:
    assert "Alternatives" not in terminal.page(stored("gpt-3-175b") | {"alternatives": []})


def test_differences_of_loss_come_before_the_loss() -> None:
    lines = sections.loss(stored("quickstart"))
    assert lines[0].endswith("nats/token worse.")
    assert any("MassiveText" in line for line in lines[1:])


def test_no_next_loss_where_another_figure_decides() -> None:
    document = copy.deepcopy(stored("quickstart"))
    document["alternatives"][0]["loss"] = document["answer"]["loss"] - 0.01
    assert not any("next best plan" in line for line in sections.loss(document))


def test_tokens_of_a_mixture_are_per_active_parameter() -> None:
    answer = stored("quickstart")["answer"]
    assert "(16 per parameter)" in " ".join(sections.plan(answer))
    mixture = answer | {"active_params": answer["params"] / 2}
    assert "(16 per active parameter)" in " ".join(sections.plan(mixture))


def test_what_does_not_run_is_not_bound_by_its_tokens() -> None:
    document = stored("does-not-fit")
    assert document["binding"]["constraint"] == "tokens"
    assert sections.binds(document) == ""
    assert "What binds" not in terminal.page(document)
    assert sections.binds(document | {"infeasible": None}).startswith("The number of tokens")


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("name", PAGES)
def test_bars_and_words_of_a_narrow_page_are_not_broken(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    answer = stored(name)["answer"]
    lines = [*sections.memory(answer), *sections.breakdown(answer)]
    assert max(map(len, lines)) <= columns
    assert all(line.split()[0][0] not in "█▏▎▍▌▋▊▉" for line in lines)
    words = {word for text in sections.LEVELS.values() for word in text.split()}
    continued = [line.split() for line in lines if line.startswith(" " * 20)]
    assert all(word in words or word in "levels below half a percent" for line in continued for word in line)


def test_unknown_price_and_tokens_are_words_not_none() -> None:
    document = copy.deepcopy(stored("gpt-3-175b"))
    answer = document["answer"]
    for name in ("cost_usd", "usd_per_gpu_hour", "usd_per_m_tokens", "energy_mwh", "loss"):
        answer[name] = None
    answer["interval"] |= {"cost_usd": None, "loss": None}
    page = terminal.page(document)
    assert "no price is known" in page
    assert "None" not in page
    answer |= dict.fromkeys(("tokens", "steps", "time_to_train_days", "gpu_hours", "tokens_per_param"))
    answer["interval"] |= {"tokens": None, "time_to_train_days": None, "gpu_hours": None}
    page = terminal.page(document)
    assert "per step of" in page
    assert "None" not in page


def test_growth_shows_every_kappa_beside_scratch() -> None:
    document = stored("quickstart")
    lines = "\n".join(growth.section(document))
    for name, case in document["growth"]["cases"].items():
        assert name in lines
        assert f"{case['loss_scratch']:.3f}" in lines
    assert "pays" in lines
    assert "kappa" in lines


def test_growth_that_does_not_pay_is_said() -> None:
    document = stored("quickstart") | {"stages": []}
    assert "from scratch" in growth.words(document)
    assert growth.words(document | {"growth": {}}) == ""


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_never_fail(one: float, other: float) -> None:
    for dimension in ("second", "USD", "token", "byte", ""):
        assert isinstance(text.span([min(one, other), max(one, other)], dimension), str)
    assert text.number(one) != ""
    assert text.percent(one) != ""


@given(st.floats(min_value=1e-6, max_value=1e15))
def test_number_keeps_three_digits(value: float) -> None:
    read = float(text.number(value).replace(",", ""))
    assert math.isclose(read, value, rel_tol=0.00501)


@given(st.floats(min_value=60, max_value=3e9), st.floats(min_value=1, max_value=3))
def test_spans_of_time_read_back(low: float, ratio: float) -> None:
    from simulator.units import parse_quantity

    shown = text.span([low, low * ratio], "second")
    ends = shown.split(" to ")
    unit = ends[-1].split()[-1]
    first = ends[0] if " " in ends[0] else f"{ends[0]} {unit}"
    back = [
        parse_quantity(re.sub(r"^1 day$", "1.0 days", part.replace(",", "")), "second")
        for part in (first, ends[-1])
    ]
    assert math.isclose(back[0], low, rel_tol=0.06)
    assert math.isclose(back[1], low * ratio, rel_tol=0.06)


def test_one_day_is_singular() -> None:
    assert text.quantity(86400, "second") == "1 day"
    assert text.quantity(2 * 86400, "second") == "2 days"


def test_tables_wrap_their_last_column_and_nothing_else() -> None:
    lines = text.table(("a", "b"), [("x", "word " * 60)], left=(0, 1), width=60)
    assert max(map(len, lines)) <= 60
    assert "".join(lines).count("word") == 60


def test_markdown_tables_escape_bars() -> None:
    assert Table("", ("a",), [("x|y",)]).markdown()[-1] == "| x\\|y |"


def test_without_block_characters_there_are_others() -> None:
    shown = text.printable("████▌ × é", "ascii")
    assert shown.startswith("####")
    shown.encode("ascii")


def test_color_only_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert text.wants_color(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not text.wants_color(Terminal())
    monkeypatch.delenv("NO_COLOR")
    with Path(os.devnull).open("w") as pipe:
        assert not text.wants_color(pipe)


def test_files_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.txt"
    output.write_whole(path, "first\n")

    def fails(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(SpecError, match="No space left"):
        output.write_whole(path, "second\n")
    assert path.read_text() == "first\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_a_place_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be written"):
        output.write_whole(tmp_path / "none" / "out.txt", "text")


def test_csv_spreads_intervals() -> None:
    rows = output.csv_text(
        [{"a": 1, "interval": {"cost_usd": [1.0, 2.0], "loss": None}, "memory": {"weights": 3.0}}]
    )
    assert rows.splitlines() == [
        "a,cost_usd_p10,cost_usd_p90,loss_p10,loss_p90,memory.weights",
        "1,1.0,2.0,,,3.0",
    ]


def test_worst_cases_come_first_in_both_directions() -> None:
    def row(name: str, predicted: float) -> dict[str, Any]:
        return {
            "id": name,
            "predicted_step_time_s": predicted,
            "measured_step_time_s": 1.0,
            "low": 0.9,
            "high": 1.1,
        }

    table = accuracy.worst([row("good", 1.01), row("slow", 3.0), row("fast", 0.1)], {}, most=2)
    assert [cells[0] for cells in table.rows] == ["fast", "slow"]


def test_groups_of_few_rows_do_not_lead() -> None:
    groups = {
        "one": {"n": 1, "median_ape": 9.0},
        "many": {"n": 50, "median_ape": 0.1},
        "worse": {"n": 50, "median_ape": 0.2},
    }
    assert [cells[0] for cells in accuracy.grouped(groups, "x").rows] == ["worse", "many", "one"]


@pytest.mark.parametrize("name", PAGES)
def test_notebooks_show_the_same_decision(name: str) -> None:
    from html import unescape
    from html.parser import HTMLParser

    class Balanced(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "br":
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    document = stored(name)
    fragment = html.fragment(document)
    assert decision.decision(document) in unescape(fragment)
    parser = Balanced()
    parser.feed(fragment)
    assert parser.open == []


def test_notebooks_escape_what_users_write() -> None:
    document = copy.deepcopy(stored("quickstart"))
    document["scenario"]["name"] = "<script>alert(1)</script>"
    document["warnings"] = [{"id": "x", "message": "<img src=x>"}]
    fragment = html.fragment(document)
    assert "<script" not in fragment
    assert "<img" not in fragment


def test_a_result_shows_itself() -> None:
    from simulator import simulate

    result = simulate.run("quickstart")
    assert result._repr_html_() == html.fragment(result.to_dict())


def test_files_cannot_smuggle_codes_into_a_terminal() -> None:
    document = copy.deepcopy(stored("quickstart"))
    document["scenario"]["name"] = "a\x1b]0;title\x07b\x1b[31m"
    document["warnings"] = [{"id": "x", "message": "\x1b[2J\r"}]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", terminal.page(document))


@pytest.mark.parametrize("name", PAGES)
def test_golden_results_have_the_keys_of_fresh_ones(name: str) -> None:
    """Refresh with: python docs/refresh.py golden."""
    from simulator import simulate

    fresh, old = simulate.run(name).to_dict(), stored(name)
    assert set(fresh) == set(old)
    assert set(fresh["answer"]) == set(old["answer"])
    assert {key for row in fresh["alternatives"] for key in row} == {
        key for row in old["alternatives"] for key in row
    }


# --- narrow terminals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("120", 100), ("20", 60), ("wide", 100)])
def test_a_page_is_as_wide_as_the_terminal_and_no_wider_than_a_hundred(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert text.page_width() == width
    words = "word " * 60
    assert max(map(len, text.wrap(words))) <= width


def test_a_file_is_the_same_whatever_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []
    for columns in ("70", "100"):
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["run", "llama-2-7b-a100", "--out", str(tmp_path / "page.txt")]) == 0
        pages.append((tmp_path / "page.txt").read_text(encoding="utf-8"))
    assert pages[0] == pages[1]


def test_columns_of_text_give_way_and_numbers_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [
        (
            "a-name-that-is-long-enough",
            "a run of some length on many accelerators and more",
            f"{n:.3f}",
            "1.0",
        )
        for n in range(3)
    ]
    lines = text.table(("id", "run", "seconds", "ratio"), rows, left=(0, 1))
    assert max(map(len, lines)) <= 80
    assert "a-name-that-is-long-enough" in lines[1]
    assert "..." in lines[1]
    assert "2.000" in lines[3]


@pytest.mark.parametrize(
    "verb",
    [
        ["compare", "compare-hardware"],
        ["support"],
        ["hardware", "list"],
        ["laws", "list"],
        ["prices"],
        ["warnings"],
    ],
)
@pytest.mark.parametrize("columns", [80, 100])
def test_no_line_is_wider_than_the_terminal(
    verb: list[str], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(verb) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= columns
