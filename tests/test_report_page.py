"""The report page: complete, escaped, self-contained, accessible, written whole or not at all."""

from __future__ import annotations

import functools
import html.parser
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

import simulator as sim
from simulator import curves
from simulator.cli import main
from simulator.report import page_charts as charts
from simulator.report import page_style, svg
from simulator.report.decision import decision
from simulator.report.page import page
from simulator.report.page_parts import para

VOID = {"meta", "link", "br", "img", "input"}
NAME = "<script>alert(1)</script> \"q\" 'a' &amp; مرحبا \u202e\x1b[31m " + "unbroken" * 30


class Tree(html.parser.HTMLParser):
    """Tags in order, and whether each was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def parsed(text: str) -> Tree:
    tree = Tree()
    tree.feed(text)
    tree.close()
    assert tree.open == []
    return tree


@functools.cache
def built(name: str) -> tuple[str, dict[str, Any]]:
    scenario = sim.load_scenario(name)
    result = sim.run(scenario)
    return page(result.to_dict(), curves.around(scenario, result)), result.to_dict()


SHIPPED = ("growth", "quickstart", "llama-2-7b-a100", "does-not-fit", "mixture-of-experts", "data-limited")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_page_is_well_formed_and_says_the_decision(name: str) -> None:
    text, document = built(name)
    tree = parsed(text)
    words = " ".join(" ".join(tree.words).split())
    assert " ".join(decision(document).split()) in words
    for each in (*document["assumptions"], *document["excluded"]):
        assert each in re.sub(r"\s+([,;.)])", r"\1", words) or each.split("arXiv")[0].strip() in words
    for row in document["alternatives"]:
        assert row["why"] in words
    for warning in document["warnings"]:
        assert warning["message"][:30] in words
    for source in document["sources"]:
        assert source["what"] in words


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_is_fetched_and_nothing_runs(name: str) -> None:
    text, _ = built(name)
    tree = parsed(text)
    names = {tag for tag, _ in tree.tags}
    assert not names & {"script", "iframe", "img", "object", "embed", "form", "audio", "video", "base"}
    for tag, attributes in tree.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "style" not in attributes
        assert not {"src", "srcset", "xlink:href"} & set(attributes)
    assert [each["href"] for each in tree.having("link")] == ["data:,"]
    assert "@import" not in text
    assert "url(" not in text
    assert any("default-src 'none'" in (each.get("content") or "") for each in tree.having("meta"))


@pytest.mark.parametrize("name", SHIPPED)
def test_headings_go_down_one_by_one_and_landmarks_are_there(name: str) -> None:
    tree = parsed(built(name)[0])
    levels = [int(tag[1]) for tag, _ in tree.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert len(tree.having(landmark)) == 1
    assert tree.having("html")[0]["lang"] == "en"
    assert tree.having("a")[0] == {"class": "skip", "href": "#main"}


@pytest.mark.parametrize("name", SHIPPED)
def test_tables_have_captions_and_scopes_and_figures_have_words(name: str) -> None:
    text, _ = built(name)
    tree = parsed(text)
    assert len(tree.having("table")) == len(tree.having("caption")) >= 3
    assert all(each.get("scope") in ("row", "col") for each in tree.having("th"))
    pictures = [each for each in tree.having("svg") if each.get("aria-hidden") != "true"]
    assert len(pictures) == len(tree.having("title")) - 1 == len(tree.having("desc"))
    assert all(each["role"] == "img" for each in pictures)
    ids = [attributes["id"] for _, attributes in tree.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tree.tags:
        for target in (attributes.get("aria-labelledby") or "").split():
            assert target in ids
        if (attributes.get("href") or "").startswith("#"):
            assert str(attributes["href"])[1:] in ids


def test_a_searched_answer_has_every_part() -> None:
    text, _ = built("growth")
    found = re.findall(r'<h2 id="(\w+)"', text)
    assert (
        found
        == (
            "decision answer frontier size step memory growth alternatives binding sensitivity evidence warnings assumed "
            "excluded sources searched question"
        ).split()
    )
    assert "Growth timeline" in text
    assert "Shadow prices" in text


def test_rows_of_a_step_and_of_memory_are_the_answers() -> None:
    text, document = built("quickstart")
    step = text.split('<h2 id="step"')[1].split("</table>")[0]
    cells = [float(each) for each in re.findall(r'<td class="n">([\d.]+)</td>', step)]
    assert sum(cells[:-1]) == pytest.approx(cells[-1], rel=0.01)
    assert cells[-1] == pytest.approx(document["answer"]["step_time_s"], rel=0.01)
    assert document["answer"]["memory_verdict"] in text.split('<h2 id="memory"')[1]


def test_words_of_ticks_stand_apart() -> None:
    for low, high in itertools.product((0.02, 0.3, 1.3, 8.5, 40.0), (2.0, 8.0, 64.0, 600.0)):
        chart = svg.Chart("k", "t", "d", "time", "loss", charts.days, str, log=True, x_ticks=charts.moments)
        line = svg.Line("one", [low, low * high], [2.0, 2.1])
        found = re.findall(
            r'<text x="([\d.]+)" y="293.0" text-anchor="(\w+)">([^<]+)<', svg.lines(chart, [line])
        )
        ends = -1.0
        assert found
        for x, anchor, words in found:
            wide = 7.2 * len(words)
            left = float(x) - (wide if anchor == "end" else wide / 2)
            assert left > ends, (low, high, found)
            ends = left + wide
        assert not any(re.match(r"\d+\.\d+ h", words) for _, _, words in found)


def test_a_stage_of_growth_has_one_color() -> None:
    text = built("growth")[0].split('<h2 id="growth"')[1].split("<h2")[0]
    bars = re.findall(r'<rect class="b(\d) part"', text)
    strokes = re.findall(r'<polyline class="line s(\d)"', text)
    assert bars[:-1] == strokes[1:]
    assert strokes[0] not in strokes[1:]


def test_options_and_ids_are_not_broken() -> None:
    assert ".whole{white-space:nowrap}" in page_style.sheet()
    assert '<span class="whole">--growth</span>' in para("(trainsim validate --growth)")


def test_sources_are_links() -> None:
    text, _ = built("growth")
    links = re.findall(r'href="(https?://[^"]+)"', text)
    assert "https://arxiv.org/abs/2404.10102" in links
    assert "https://github.com/stas00/ml-engineering/tree/744d01e" in links
    assert all(re.fullmatch(r"https?://[\w./~%&;=?#:@+-]+", link) for link in links)


def test_hostile_strings_stay_text(tmp_path: Path) -> None:
    question = {
        "name": NAME,
        "description": "</style></title><img src=x onerror=alert(1)>",
        "model": {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "name": NAME},
        "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 1, "price": "$1/GPU-h"},
        "training": {"tokens": "1B", "seq_length": 512},
    }
    result = sim.run(question)
    document = result.to_dict()
    document["warnings"] = [
        {"id": "<b>", "message": "<script>x</script> javascript:alert(1) https://a.b/\"onx='1"}
    ]
    document["sources"] = [{"what": "<i>", "source": "https://a.b/<script>"}]
    document["alternatives"] = [{**row, "why": "<u>'\"" + "x" * 500} for row in document["alternatives"]]
    text = page(document, curves.around(question, result))
    tree = parsed(text)
    assert not {tag for tag, _ in tree.tags} & {"script", "img", "b", "i", "u"}
    assert "<script>alert(1)</script>" in "".join(tree.words)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not [href for href in re.findall(r'href="([^"]*)"', text) if href.startswith("javascript")]
    headings = tree.having("h1")
    assert headings[0]["dir"] == "auto"


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colors", [page_style.LIGHT, page_style.DARK], ids=["light", "dark"])
def test_every_text_has_contrast(colors: dict[str, str]) -> None:
    for name in ("ink", "dim", "link", "good", "fair", "bad"):
        assert contrast(colors[name], colors["page"]) >= 4.5, name
        assert contrast(colors[name], colors["soft"]) >= 4.5, name


def test_letters_on_colors_have_contrast() -> None:
    for fill, ink in zip(page_style.SERIES, page_style.ON, strict=True):
        assert contrast(fill, ink) >= 4.5, fill


def test_the_command_writes_one_small_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert main(["report", "quickstart", "--out", str(out), "--set", "budget.time=5 days"]) == 0
    assert capsys.readouterr().out == ""
    assert out.stat().st_size < 1_000_000
    assert "5 days" in out.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_an_infeasible_scenario_still_gets_its_page(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert main(["report", "does-not-fit", "--out", str(out)]) == 1
    assert "does not run" in out.read_text(encoding="utf-8")
    assert "Smallest change" in out.read_text(encoding="utf-8")


def test_an_answer_without_any_plan_has_a_page() -> None:
    question = {
        "model": {"num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 4},
        "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
        "budget": {"max_gpus": 1},
    }
    result = sim.run(question)
    tree = parsed(page(result.to_dict(), curves.around(question, result)))
    assert "max_gpus" in " ".join(tree.words)


def test_a_wrong_scenario_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("hardwear: {}\n")
    assert main(["report", str(wrong), "--out", str(tmp_path / "report.html")]) == 2
    assert "hardware" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.yaml"]


def test_a_page_that_was_there_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "report.html"
    out.write_text("before")

    def fails(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    assert main(["report", "does-not-fit", "--out", str(out)]) == 2
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "does-not-fit", "--out", str(tmp_path / "none" / "report.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_same_question_gives_the_same_bytes() -> None:
    scenario = sim.load_scenario("llama-2-7b-a100")
    pages = [page(r.to_dict(), curves.around(scenario, r)) for r in (sim.run(scenario), sim.run(scenario))]
    assert pages[0] == pages[1]
