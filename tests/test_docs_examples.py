"""What the pages show is run: `console` blocks with `$ trainsim ...`, and `python` blocks, of README.md and docs/*.md.

A page has a folder and a namespace of its own; its blocks run in order. Lines after a command are what it prints, in order, other
lines may stand between them; numbers may differ (they move with each calibration), words may not. `$ trainsim ...  # exit 1` ends with 1.
A line `<!-- file: NAME -->` before a block writes the block to a file first, `<!-- not run: REASON -->` leaves the next block out.
"""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from simulator.cli import cli, main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>file|not run): (?P<what>[^\n]+?) -->\n+)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?[kMBTQ]?|[█▉▊▋▌▍▎▏]+")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    line: int
    kind: str
    text: str
    mark: str | None
    what: str | None


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, m.start("text")) + 1, m["kind"], m["text"], m["mark"], m["what"])
        for m in BLOCK.finditer(text)
        if m["kind"] in ("console", "python") or m["mark"] == "file"
    ]


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """Commands of a console block, each with the lines it prints."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (found[-1][0][:-1] + line.strip(), found[-1][1])
        elif line.strip() and line.strip() != "...":
            assert found, f"line {block.line}: a console block begins with `$ `"
            found[-1][1].append(line)
    return found


def masked(line: str) -> str:
    return " ".join(NUMBER.sub("#", line).split())


def shown_in_order(expected: list[str], printed: str) -> str | None:
    """The first expected line that does not follow in what was printed."""
    lines = iter([masked(line) for line in printed.splitlines()])
    return next((line for line in expected if not any(masked(line) == one for one in lines)), None)


def run_console(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    for command, expected in commands(block):
        words = shlex.split(command, comments=True)
        told = re.search(r"#\s*exit (\d)", command)
        assert "$" not in re.sub(r"'[^']*'", "", command), (
            f"line {block.line}: a shell would expand: {command}"
        )
        assert words[0] == "trainsim", f"line {block.line}: only trainsim is run here: {command}"
        capsys.readouterr()
        code = main(words[1:])
        printed = capsys.readouterr()
        assert code == (int(told[1]) if told else 0), f"line {block.line}: {command}\n{printed.err}"
        missing = shown_in_order(expected, printed.out + printed.err)
        assert missing is None, (
            f"line {block.line}: {command} does not print {missing!r}:\n{printed.out}{printed.err}"
        )


def run_python(block: Block, page: Path, names: dict[str, object]) -> None:
    if ">>>" not in block.text:
        exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
        return
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(block.text, names, page.name, str(page), block.line - 1)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")
    names: dict[str, object] = {"__name__": page.stem}
    for block in blocks(page):
        if block.mark == "not run":
            continue
        if block.mark == "file":
            assert block.what
            (tmp_path / block.what).parent.mkdir(exist_ok=True)
            (tmp_path / block.what).write_text(block.text, encoding="utf-8")
        elif block.kind == "console":
            run_console(block, capsys)
        else:
            run_python(block, page, names)


def test_pages_that_teach_have_blocks_that_run() -> None:
    for name, least in (("start", 8), ("how-it-works", 10), ("faq", 12)):
        found = [b for b in blocks(ROOT / "docs" / f"{name}.md") if b.mark != "not run"]
        assert len(found) >= least, name


def test_the_checks_see_a_wrong_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = (
        "```console\n$ trainsim hardware list\nno such line\n```\n",
        "```console\n$ trainsim hardware show nothing\n```\n",
        "```console\n$ trainsim hardware list  # exit 1\n```\n",
        "```console\n$ trainsim run llama-2-7b-a100 --set hardware.price=$1.50/GPU-h\n```\n",
        "```python\n>>> 1 + 1\n3\n```\n",
        "```python\nassert False\n```\n",
    )
    for text in wrong:
        page = tmp_path / "page.md"
        page.write_text(text, encoding="utf-8")
        (block,) = blocks(page)
        with pytest.raises(AssertionError):
            run_console(block, capsys) if block.kind == "console" else run_python(block, page, {})


def test_sphinx_builds_the_pages_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="needs the extra `docs`: pip install 'trainsim[docs]'")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "trees", ROOT / "docs", tmp_path / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    index = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem == "index" or f'href="{page.stem}.html"' in index, page.stem


MENTION = re.compile(r"(?:^ {4}|^\$ |`)trainsim ([^`\n]*)", re.MULTILINE)


def unknown_words(line: str) -> list[str]:
    """Verbs, sub-commands and options of a command line that the program does not have; placeholders pass."""
    context = click.Context(cli)
    command: click.Command = cli
    wrong: list[str] = []
    words = re.split(r"[\s|=,]+", line.partition("#")[0].replace("[", " ").replace("]", " "))
    for word in filter(None, words):
        if isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", word):
            inner = command.get_command(context, word)
            if inner is None:
                wrong.append(word)
                break
            command = inner
        elif re.fullmatch(r"--[a-z][a-z-]*", word):
            known = {name for one in command.get_params(context) for name in (*one.opts, *one.secondary_opts)}
            if word not in known | {"--help"}:
                wrong.append(word)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_that_are_mentioned_exist_with_their_options(page: Path) -> None:
    for line in MENTION.findall(page.read_text(encoding="utf-8")):
        assert unknown_words(line) == [], f"trainsim {line}"


def test_a_mention_of_what_does_not_exist_is_seen() -> None:
    assert unknown_words("run plan.yaml --hardware x") == ["--hardware"]
    assert unknown_words("fly plan.yaml") == ["fly"]
    assert unknown_words("laws list WORDS --json") == []
