"""The page of ``trainsim serve`` in real headless Chromium: sliders move the answer, nothing is said on the console.

Needs a browser; see `tests/heavy_parts.py`. ``TRAINSIM_SCREENSHOTS=FOLDER`` keeps pictures to look at.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import simulator as sim

sys.path.insert(0, str(Path(__file__).parent))
from browsing import Browser, browser

WIDTHS = (390, 800, 1400)
SETTLED = "document.getElementById('status').className === 'full'"
DECISION = "document.querySelector('#section-decision .lead').textContent"
WIDER = """[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('svg') && !e.closest('.skip')
  && !e.closest('.unseen') && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))"""


@contextlib.contextmanager
def serving() -> Iterator[str]:
    code = "from simulator.cli import main; raise SystemExit(main(['serve', '--port', '0']))"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = re.search(r"(http://127\.0\.0\.1:(\d+)/)", process.stderr.readline())
        assert found
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(found[2])), 1).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
        yield found[1]
    finally:
        process.terminate()
        process.communicate(timeout=15)


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    if shutil.which("chromium") is None and shutil.which("google-chrome") is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium: make heavy installs it")
        pytest.skip("no chromium: make heavy installs it")
    with serving() as address, browser() as one:
        one.width(1400)
        one.open(address)
        one.until(SETTLED, 60)
        yield one
        assert one.said == []


def start_again(tab: Browser) -> None:
    moves = tab.run("performance.getEntriesByName('move').length")
    tab.run("document.getElementById('reset').click()")
    tab.until(f"performance.getEntriesByName('move').length > {moves}")
    tab.until(SETTLED, 60)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(tab: Browser, width: int, dark: bool) -> None:
    tab.width(width)
    tab.dark(dark)
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run(WIDER) == []
    ground = tab.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    if "TRAINSIM_SCREENSHOTS" in os.environ:
        tab.width(width, {390: 2600, 800: 1800, 1400: 1400}[width])
        kind = "dark" if dark else "light"
        tab.picture(Path(os.environ["TRAINSIM_SCREENSHOTS"]) / f"serve-{width}-{kind}.png")


def test_the_page_asks_nobody_else_and_runs_nothing_inline(tab: Browser) -> None:
    own = tab.run("location.origin + '/'")
    assert tab.run(f"performance.getEntriesByType('resource').every(e => e.name.startsWith({own!r}))")
    refused = """new Promise(done => {
      document.addEventListener('securitypolicyviolation', e => done(e.violatedDirective), {once: true});
      const s = document.createElement('script'); s.textContent = 'window.owned = 1'; document.body.append(s); s.remove(); })"""
    assert tab.run(refused).startswith("script-src")
    assert tab.run("window.owned === undefined")
    # The violation that was provoked is said on the console.
    assert len(tab.said) == 1
    tab.said.clear()


def test_a_key_on_a_slider_changes_the_answer_quickly(tab: Browser) -> None:
    tab.width(1400)
    before = tab.run(DECISION)
    assert "10 days" in before
    done = tab.run("performance.getEntriesByName('move').length")
    tab.run("document.getElementById('time_days-slider').focus()")
    for move in range(1, 13):
        tab.press("ArrowRight", 39)
        tab.until(f"performance.getEntriesByName('move').length >= {done + move}")
    assert tab.run("document.activeElement.id") == "time_days-slider"
    days = float(tab.run("document.getElementById('time_days').value"))
    assert days > 15
    assert f"{days:g} days" in tab.run(DECISION)
    assert tab.run(DECISION) != before
    times = tab.run(f"performance.getEntriesByName('move').slice({done}).map(e => e.duration)")
    # Generous: the machine of the tests is shared. benchmarks/serve_latency.py measures.
    assert statistics.median(times) < 1000
    tab.until(SETTLED, 60)
    assert tab.run("document.querySelectorAll('section.stale').length") == 0
    assert re.match(r"Exact: [\d,]{7,} plans", tab.run("document.getElementById('status').textContent"))


def test_every_control_has_a_name_and_growth_can_be_turned_off(tab: Browser) -> None:
    nameless = """[...document.querySelectorAll('#controls input, #controls select, #controls textarea, #controls button')].filter(e =>
      !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim()).map(e => e.outerHTML)"""
    assert tab.run(nameless) == []
    assert tab.run("document.querySelector('#section-growth') !== null")
    tab.run("document.getElementById('growth').click()")
    tab.until("document.getElementById('status').className === 'preview'")
    tab.until(SETTLED, 60)
    assert tab.run("document.querySelector('#section-growth') === null")
    tab.run("document.getElementById('growth').click()")
    tab.until("document.querySelector('#section-growth') !== null")
    tab.until(SETTLED, 60)


def test_another_accelerator_is_compared(tab: Browser) -> None:
    tab.run("document.getElementById('growth').click()")
    tab.run("document.getElementById('add').click()")
    assert tab.run("document.querySelectorAll('#rows .row').length") == 2
    tab.until("document.getElementById('text').value.includes('a100-sxm-80gb')")
    tab.until(SETTLED, 90)
    assert "a100-sxm-80gb" in tab.run("document.getElementById('section-alternatives').textContent")
    tab.run("[...document.querySelectorAll('#rows button')].at(-1).click()")
    assert tab.run("document.querySelectorAll('#rows .row').length") == 1
    start_again(tab)


def test_the_file_that_is_downloaded_has_the_answer_of_the_page(tab: Browser, tmp_path) -> None:
    tab.run("document.getElementById('time_days').focus()")
    tab.run("""{ const e = document.getElementById('time_days'); e.value = '4';
      e.dispatchEvent(new Event('input', {bubbles: true})); }""")
    tab.until("document.getElementById('status').className === 'preview'")
    tab.until(SETTLED, 60)
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.run("document.getElementById('download').click()")
    end = time.monotonic() + 20
    while not (files := list(tmp_path.glob("*.yaml"))):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert files[0].name == "ten-days-on-64-h100s.yaml"
    result = sim.run(files[0])
    assert result.scenario["budget"]["time"] == 4 * 86400
    from simulator.report.decision import decision

    assert decision(result.to_dict()) == tab.run(DECISION)
    start_again(tab)


def test_a_mistake_is_shown_and_the_page_goes_on(tab: Browser) -> None:
    tab.run("document.getElementById('edit').open = true")
    tab.run("document.getElementById('text').value = 'find: architecture\\nhardware: h10:8\\n'")
    tab.run("document.getElementById('use').click()")
    tab.until("!document.getElementById('error').hidden")
    assert "h100" in tab.run("document.getElementById('error').textContent")
    assert tab.run(WIDER) == []
    # The browser itself reports the refusal.
    assert all("422" in line for line in tab.said)
    tab.said.clear()
    tab.run(
        "document.getElementById('text').value = document.getElementById('text').value.replace('h10:8', 'h100:8\\nbudget: {time: 1 day}')"
    )
    tab.run("document.getElementById('use').click()")
    tab.until("document.getElementById('error').hidden")
    tab.until(SETTLED, 60)
    assert "8 x h100" in tab.run(DECISION)
