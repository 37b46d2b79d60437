"""The pages: generated ones are fresh, links lead somewhere, commands exist, the shown answer is the program's."""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from simulator import cli
from simulator.report import nomenclature, validation

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "measurements").glob("*.md")])
MASK = re.compile(r"[\d.,]+|[█▉▊▋▌▍▎▏]+")


@functools.cache
def program(name: str) -> ModuleType:
    """A Python file of docs/, beside which it finds its neighbours."""
    if str(ROOT / "docs") not in sys.path:
        sys.path.append(str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def refresh() -> ModuleType:
    return program("refresh")


@functools.cache
def checked() -> dict[str, validation.Checked]:
    return validation.collect(validation.shipped(), clock="all")


def skeleton(text: str) -> list[str]:
    """First words of the lines that are not continuations: what stays when figures move."""
    lines = [line for line in text.splitlines() if line and not line.startswith(" " * 11)]
    return [MASK.sub("", line).split()[0] for line in lines if MASK.sub("", line).split()]


def figures(text: str) -> list[float]:
    return [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*\.?\d*", text)]


def shown_block() -> str:
    found = re.search(
        r"```text\n\$ make run\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert found
    return found.group(1)


def test_the_readme_shows_what_the_program_answers() -> None:
    """Up to numbers, which move a little with each calibration; refresh with: python docs/refresh.py readme."""
    shown, fresh = shown_block(), refresh().shown("quickstart")
    labels = {"Model", "Run", "Layout", "Step", "Time", "Cost", "MFU", "HFU", "Memory"}
    assert labels <= set(skeleton(shown))
    assert [w for w in skeleton(shown) if w in labels] == [w for w in skeleton(fresh) if w in labels]
    decisions = [" ".join(block.split("\n\n")[1].split()) for block in (shown, fresh)]
    assert MASK.sub("#", decisions[0])[:40] == MASK.sub("#", decisions[1])[:40]
    cost = [re.search(r"cost \$([\d.]+)k", each) for each in decisions]
    assert cost[0] is not None
    assert cost[1] is not None
    assert float(cost[0][1]) == pytest.approx(float(cost[1][1]), rel=0.02)
    loss = [re.search(r"loss ([\d.]+) to ([\d.]+)", each) for each in decisions]
    assert loss[0] is not None
    assert loss[1] is not None
    assert float(loss[0][1]) == pytest.approx(float(loss[1][1]), abs=0.03)


def test_the_readme_prints_the_accuracy_that_is_measured() -> None:
    """To within five percent or three points; refresh with: python docs/refresh.py readme."""
    module = refresh()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    printed = text.split(module.START)[1].split(module.END)[0].strip().splitlines()
    fresh = validation.summary(checked())
    assert [MASK.sub("#", line) for line in printed] == [MASK.sub("#", line) for line in fresh]
    for line, now in zip(printed, fresh, strict=True):
        assert figures(line) == pytest.approx(figures(now), rel=0.05, abs=3)


def test_the_accuracy_page_is_fresh() -> None:
    """Headings, names and skipped rows as written; figures move with calibrations: python docs/refresh.py accuracy."""
    page = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    assert page.startswith(f"<!-- Written by `{validation.COMMAND}`")
    headings = re.findall(r"^## .*$", page, re.MULTILINE)
    fresh = validation.accuracy_page()
    assert headings == re.findall(r"^## .*$", fresh, re.MULTILINE)
    printed, now = (re.search(r"\| memory_copies \| (.*?) \|\n", each) for each in (page, fresh))
    assert printed is not None
    assert now is not None
    assert figures(printed[1]) == pytest.approx(figures(now[1]), rel=0.05, abs=1.5)


def test_names_and_units_are_fresh() -> None:
    """Refresh with: python docs/refresh.py names."""
    assert (ROOT / "docs" / "nomenclature.md").read_text(encoding="utf-8") == nomenclature.page()


def test_the_page_on_software_is_fresh() -> None:
    """Up to numbers, which move with calibrations; refresh with: python docs/refresh.py software."""
    from simulator.report import software

    printed = (ROOT / "docs" / "software.md").read_text(encoding="utf-8")
    marks = re.compile(r"[\d.,]+( p)?")
    assert marks.sub("#", printed) == marks.sub("#", software.page())
    assert all(f"`{name}`" in printed for name in ("megatron", "fsdp", "llm-foundry", "step_overhead_s"))


def test_figures_in_sentences_are_fresh() -> None:
    """To within a tenth or one and a half of the last digit; refresh with: python docs/refresh.py sentences."""
    module = program("sentences")
    assert {each.words: each.stale() for each in module.SENTENCES if each.stale()} == {}
    for (page, mark), lines in module.BLOCKS.items():
        printed, fresh = module.block(page, mark)[0], "\n".join(lines()) + "\n"
        assert MASK.sub("#", printed) == MASK.sub("#", fresh), page
        assert figures(printed) == pytest.approx(figures(fresh), rel=0.1, abs=1.5), page


def test_a_figure_that_moved_is_found_and_written() -> None:
    module = program("sentences")
    moved = module.Sentence("clock.md", "meet # collectives with", lambda: ("1,400",))
    assert [fresh for _, fresh in moved.stale()] == ["1,400"]
    assert "meet 1,400 collectives with" in moved.written()


def test_every_field_of_every_specification_is_named_and_described() -> None:
    for title, spec in nomenclature.specifications().items():
        for name, _, _, text in nomenclature.fields_of(spec):
            assert text, f"{title}: {name} has no description"


def test_quantities_have_their_unit_on_the_page() -> None:
    page = (ROOT / "docs" / "nomenclature.md").read_text(encoding="utf-8")
    for name, unit in (
        ("memory_bandwidth", "bytes/s"),
        ("unique_tokens", "tokens"),
        ("nic_bandwidth", "bytes/s"),
        ("time", "time"),
    ):
        assert f"| `{name}` | {unit} |" in page


def test_every_warning_has_its_place() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "simulator").rglob("*.py"))
    ids = set(re.findall(r"\.warn\(\s*\"([a-z-]+)\"", sources))
    assert len(ids) >= 8
    headings = re.findall(
        r"^## (.*)$", (ROOT / "docs" / "warnings.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(headings) == ids
    assert headings == sorted(headings)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index, page.name


def test_commands_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    verbs = set(re.findall(r"trainsim ([a-z]+)", text))
    assert {"run", "compare", "validate"} <= verbs
    assert verbs <= set(cli.verbs())
    for name in re.findall(r"trainsim run ([a-z0-9-]+)", text):
        assert (ROOT / "scenarios" / f"{name}.yaml").exists(), name


def test_every_framework_default_is_in_the_manual() -> None:
    from simulator.validate.profiles import PROFILES

    page = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    for word, profile in PROFILES.items():
        kind = "flash" if profile.flash_attention else "plain"
        split = "yes" if profile.sequence_parallel else "no"
        assert (
            f"| {word} | {profile.software} | {kind} | {split} | {profile.zero_stage} | {profile.recompute} |"
            in page
        )


def test_every_table_of_measurements_is_listed() -> None:
    readme = (ROOT / "measurements" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "measurements").glob("*.csv"):
        rows = len(path.read_text(encoding="utf-8").splitlines()) - 1
        found = re.search(rf"\| `{path.name}` \| ([\d,]+) \|", readme)
        assert found, path.name
        assert abs(int(found[1].replace(",", "")) - rows) <= 0.02 * rows


def test_the_accelerator_of_the_readme_loads() -> None:
    from simulator import yamlio
    from simulator.schema import Accelerator

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found
    spec = Accelerator.model_validate(yamlio.loads(found[1], "README.md").data, context={"written": True})
    assert spec.peak_flops.bf16 == 1.2e15
