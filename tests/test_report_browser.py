"""The report page in real headless Chromium: no console errors, no request, no horizontal scroll, keyboard order.

Needs a browser; see `tests/heavy_parts.py`. ``TRAINSIM_SCREENSHOTS=FOLDER`` keeps pictures to look at.
"""

from __future__ import annotations

import functools
import html
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from simulator.cli import main

WIDTHS = (390, 800, 1400)
SCENARIOS = ("quickstart", "growth", "llama-2-7b-a100", "does-not-fit", "hostile")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=4000"
).split()

HOSTILE = """\
name: "<script>document.title='owned'</script> \\"quoted\\" 'single' &amp; مرحبا بالعالم {long}"
description: "<img src=x onerror=console.error(1)> </style></title> javascript:alert(1) \\u202e reversed {long}"
model: {{num_hidden_layers: 12, hidden_size: 768, num_attention_heads: 12, name: "<b>{long}</b>"}}
training: {{tokens: 1B, seq_length: 1024}}
hardware: {{accelerator: a100-sxm-80gb, n_gpus: 8, price: $2/GPU-h}}
""".format(long="unbroken" * 40)

PROBE = """<!DOCTYPE html><html><head><meta charset="utf-8"><link rel="icon" href="data:,"></head><body style="margin:0">
<iframe id="f" style="border:0;width:{width}px;height:{height}px"></iframe><pre id="out"></pre><script>
const frame = document.getElementById("f");
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement, view = frame.contentWindow;
  const wider = [...page.querySelectorAll("body *")].filter(e => !e.closest(".scroll") && !e.closest("svg") && !e.closest(".skip")
    && e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName + "." + e.className);
  const stops = [...page.querySelectorAll("a[href], summary, [tabindex='0']")].map(e => e.tagName);
  const small = [...page.querySelectorAll("svg.chart text")].map(e => e.getBoundingClientRect().height).filter(h => h > 0);
  const styles = ["h1", ".lead", "td", "a", "caption"].map(s => {{
    const e = page.querySelector(s); return e ? [s, view.getComputedStyle(e).color] : [s, null]; }});
  document.getElementById("out").textContent = JSON.stringify({{
    client: root.clientWidth, scroll: root.scrollWidth, wider, stops, styles,
    background: view.getComputedStyle(page.body).backgroundColor,
    requests: view.performance.getEntriesByType("resource").map(e => e.name),
    scripts: page.scripts.length, images: page.images.length, title: page.title, smallest: Math.min(...small),
    sections: page.querySelectorAll("main section").length}});
}};
frame.srcdoc = {source};
</script></body></html>"""


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium: make heavy installs it")
        pytest.skip("no chromium: make heavy installs it")
    return found


def chromium(*arguments: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as profile:
        command = [browser(), *FLAGS, f"--user-data-dir={profile}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@functools.cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="report-"))


@functools.cache
def report(name: str) -> Path:
    path, question = folder() / f"{name}.html", name
    if name == "hostile":
        file = folder() / "hostile.yaml"
        file.write_text(HOSTILE, encoding="utf-8")
        question = str(file)
    assert main(["report", question, "--out", str(path)]) == (1 if name == "does-not-fit" else 0)
    return path


def probe(name: str, width: int, height: int = 900) -> Path:
    source = (
        json.dumps(report(name).read_text(encoding="utf-8")).replace("</", "<\\/").replace("<!--", "<\\!--")
    )
    path = folder() / f"{name}-{width}.html"
    path.write_text(PROBE.format(width=width, height=height, source=source), encoding="utf-8")
    return path


@functools.cache
def seen(name: str, width: int, *extra: str) -> dict[str, Any]:
    window = f"--window-size={max(width, 500)},900"
    done = chromium(*extra, window, "--dump-dom", probe(name, width).as_uri())
    found = re.search(r'<pre id="out">(\{.*?\})</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:]
    out = json.loads(html.unescape(found[1]))
    assert isinstance(out, dict)
    return out


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_wider_than_the_window(name: str, width: int) -> None:
    page = seen(name, width)
    assert page["client"] == width
    assert page["scroll"] <= width
    assert page["wider"] == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_console_message_and_no_request(name: str) -> None:
    done = chromium("--enable-logging=stderr", "--v=0", "--dump-dom", report(name).as_uri())
    assert "CONSOLE" not in done.stderr
    page = seen(name, 800)
    assert page["requests"] == []
    assert page["scripts"] == 0
    assert page["sections"] >= 6


def test_the_check_for_console_messages_sees_one() -> None:
    path = folder() / "noisy.html"
    path.write_text("<script>console.error('seen')</script>", encoding="utf-8")
    assert "CONSOLE" in chromium("--enable-logging=stderr", "--v=0", "--dump-dom", path.as_uri()).stderr


def test_hostile_names_stay_text() -> None:
    page = seen("hostile", 800)
    assert page["title"] != "owned"
    assert "<script>" in page["title"]
    assert page["images"] == 0


def test_a_keyboard_reaches_the_answer_first_and_every_wide_table() -> None:
    stops = seen("growth", 800)["stops"]
    assert stops[0] == "A"
    assert stops.count("DIV") >= 6
    assert stops.count("SUMMARY") >= 4


def test_texts_of_figures_can_be_read_on_a_phone() -> None:
    assert seen("quickstart", 390)["smallest"] >= 9


def test_a_dark_screen_gets_a_dark_page() -> None:
    light = seen("quickstart", 800)
    dark = seen("quickstart", 800, "--blink-settings=preferredColorScheme=0")
    assert light["background"] == "rgb(255, 255, 255)"
    assert dark["background"] == "rgb(20, 23, 27)"
    assert dict(dark["styles"])["h1"] == "rgb(232, 234, 237)"


@pytest.mark.skipif("TRAINSIM_SCREENSHOTS" not in os.environ, reason="pictures are for people")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_pictures(name: str, width: int) -> None:
    target = Path(os.environ["TRAINSIM_SCREENSHOTS"]) / f"{name}-{width}.png"
    height = {390: 9000, 800: 6500, 1400: 5000}[width]
    window = f"--window-size={max(width, 500)},{height}"
    chromium(window, f"--screenshot={target}", probe(name, width, height).as_uri())
    assert target.stat().st_size > 10_000
