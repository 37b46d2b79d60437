"""``trainsim serve``: answers equal the command line's, files go round, strangers and monsters are refused."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the extra `web`: pip install 'trainsim[web]'")
pytest.importorskip("uvicorn", reason="needs the extra `web`: pip install 'trainsim[web]'")

import simulator as sim
from simulator import curves, library, yamlio
from simulator.report.page import sections_of
from simulator.web import guards, questions, work
from simulator.web.questions import Ask, Changes, Machine, Open
from simulator.web.workers import Superseded, TooLong, Worker

ESTIMATE = """\
name: A small one   # comments stay while no control is touched
model: llama-2-7b
training: {tokens: 20B}
hardware: {accelerator: a100-sxm-80gb, n_gpus: 16, price: $2/GPU-h}
"""
SEARCH = """\
find: architecture
budget: {time: 3 days}
hardware: h100-sxm-80gb:16
"""


class Site:
    """A running server, asked as a browser would or would not."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.host = f"127.0.0.1:{port}"
        page = self.get("/")
        assert page[0] == 200
        found = re.search(r'name="trainsim-token" content="([\w-]{40,})"', page[2])
        assert found
        self.token = found[1]

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return (
                reply.status,
                {k.lower(): v for k, v in reply.getheaders()},
                reply.read().decode(errors="replace"),
            )
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        return self.send("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path: str, data: Any, **headers: str) -> tuple[int, Any]:
        own = {"content-type": "application/json", guards.TOKEN_HEADER: self.token}
        own |= {k.replace("_", "-"): v for k, v in headers.items()}
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        status, _, text = self.send("POST", path, body, own)
        return status, json.loads(text)

    def answer(self, scenario: str, effort: str = "preview", **changes: Any) -> tuple[int, Any]:
        ask = {"client": "test", "effort": effort, "scenario": scenario, "changes": changes}
        return self.post("/api/answer", ask)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    code = "from simulator.cli import main; raise SystemExit(main(['serve', '--port', '0']))"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = re.search(r"127\.0\.0\.1:(\d+)/", process.stderr.readline())
        assert found
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(found[1])), 1).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
        yield Site(int(found[1]))
    finally:
        process.terminate()
        process.communicate(timeout=15)


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [ESTIMATE, SEARCH], ids=["estimate", "search"])
def test_the_whole_answer_is_that_of_the_command_line(site: Site, text: str) -> None:
    status, answer = site.answer(text, "full")
    assert status == 200
    result = sim.run(yamlio.loads(text).data)
    assert answer["figures"] == {name: result.answer[name] for name in work.SHOWN}
    keys = [key for key, _, _ in answer["sections"]]
    asked = sim.load_scenario(yamlio.loads(text).data)
    assert keys == [key for key, _, _ in sections_of(result.to_dict(), curves.around(asked, result))]
    assert answer["plans"] == result.search["plans_considered"]
    assert answer["yaml"] == text


def test_a_preview_says_that_it_is_one_and_what_it_looked_at(site: Site) -> None:
    status, answer = site.answer(SEARCH)
    assert (status, answer["effort"], answer["whole"]) == (200, "preview", False)
    assert 1000 < answer["plans"] < sim.run(yamlio.loads(SEARCH).data).search["plans_considered"]
    warned = next(html for key, _, html in answer["sections"] if key == "warnings")
    assert "coarse lattice" in warned


def test_a_control_changes_the_answer_and_the_file(site: Site, tmp_path) -> None:
    changes = {"time_days": 6.0, "hardware": [{"entry": 0, "n_gpus": 32}], "cost_usd": 1e6}
    _, before = site.answer(SEARCH)
    status, after = site.answer(SEARCH, "full", **changes)
    assert status == 200
    assert after["figures"]["n_gpus"] == 32
    assert after["figures"]["loss"] < before["figures"]["loss"]
    file = tmp_path / "plan.yaml"
    file.write_text(after["yaml"], encoding="utf-8")
    again = sim.run(file)
    assert again.answer["loss"] == pytest.approx(after["figures"]["loss"], rel=1e-12)
    # And back: the file opened again shows the same controls and the same answer.
    status, opened = site.post("/api/open", {"scenario": after["yaml"]})
    assert status == 200
    assert opened["controls"] == after["controls"]
    assert opened["controls"]["time_days"] == 6
    _, third = site.answer(opened["yaml"], "full")
    assert third["figures"] == after["figures"]


def test_every_control_lands_where_it_belongs() -> None:
    text = (
        "find: growth\nbudget: {time: 10 days, cost: $60k}\ntraining: {unique_tokens: 400B}\n"
        "hardware:\n- {accelerator: h100-sxm-80gb, n_gpus: 64, price: $2/GPU-h, accelerators_per_node: 4}\n- a100-sxm-80gb:128\n"
    )
    changes = Changes(
        time_days=None,
        cost_usd=1.25e6,
        tokens=2.5e11,
        unique_tokens=None,
        serving_tokens=1e13,
        growth=False,
        hardware=[
            Machine(entry=1, n_gpus=256),
            Machine(entry=0, accelerator="h200-sxm-141gb"),
            Machine(accelerator="a100-sxm-80gb", n_gpus=8, usd_per_gpu_hour=1.5),
        ],
    )
    document, scenario = questions.asked(text, changes)
    assert document.data == {
        "find": "architecture",
        "budget": {"cost": "$1250000"},
        "training": {"tokens": "250B"},
        "hardware": [
            {"accelerator": "a100-sxm-80gb", "n_gpus": 256},
            {"accelerator": "h200-sxm-141gb", "n_gpus": 64},
            {"accelerator": "a100-sxm-80gb", "n_gpus": 8, "price": "$1.5/GPU-h"},
        ],
        "inference": {"tokens": "10T"},
    }
    shown = questions.controls(scenario)
    assert shown["time_days"] is None
    assert (shown["cost_usd"], shown["tokens"], shown["serving_tokens"]) == (1.25e6, 2.5e11, 1e13)
    assert shown["growth"] is False
    assert [row["n_gpus"] for row in shown["hardware"]] == [256, 64, 8]


@pytest.mark.parametrize("name", sorted(set(library.names("scenarios"))))
def test_every_shipped_scenario_opens_and_its_written_file_loads(name: str) -> None:
    opened = work.opened(Open(name=name))
    written = questions.file_of(questions.document_of(opened["yaml"]))
    assert questions.controls(questions.asked(written, Changes())[1]) == opened["controls"]


def test_a_question_without_an_answer_says_why(site: Site) -> None:
    status, answer = site.answer(
        ESTIMATE.replace("llama-2-7b", "llama-2-70b"), hardware=[{"entry": 0, "n_gpus": 1}]
    )
    assert status == 200
    assert answer["feasible"] is False
    assert "does not run" in answer["decision"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("budget: [1", "not valid YAML"),
        ("", "is empty"),
        ("find: architecture\nhardware: h100-sxm-80gb:8", "needs a budget"),
        ("find: architecture\nbudgett: {time: 1 day}\nhardware: h100-sxm-80gb:8", "budget"),
        ("model: llama-3-8b\nhardware: h10:8", "h100"),
    ],
)
def test_a_mistake_is_told_as_on_the_command_line(site: Site, text: str, told: str) -> None:
    status, reply = site.answer(text)
    assert status == 422
    assert told in reply["error"]
    assert "Traceback" not in reply["error"]


# --- hostile scenarios ----------------------------------------------------------------------------------------------

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


HOSTILE = [
    "extends: /etc/passwd\n",
    "extends: ../../../../etc/passwd\n",
    "extends: secret.yaml\n",
    "extends: {a: b}\n",
    ESTIMATE.replace("a100-sxm-80gb", "/etc/passwd"),
    ESTIMATE.replace("a100-sxm-80gb", "../a100-sxm-80gb.yaml"),
    ESTIMATE.replace("a100-sxm-80gb", "~/.ssh/id_rsa"),
    ESTIMATE.replace("a100-sxm-80gb", "{extends: /etc/passwd}"),
    ESTIMATE.replace("llama-2-7b", "/etc/passwd"),
    ESTIMATE.replace("llama-2-7b", "folder"),
    ESTIMATE.replace("llama-2-7b", "{extends: folder/config.json}"),
    ESTIMATE.replace("llama-2-7b", "config.json"),
    ESTIMATE.replace("n_gpus: 16", "n_gpus: 16, cluster: ./cluster.yaml"),
    SEARCH + "growth: {source_model: ../model.yaml, source_tokens: 1B}\n",
    BOMB,
    "!!python/object/apply:os.system ['true']\n",
    "a: " * 40 + "1",
    "[" * 5000,
    "{a: " * 5000,
    SEARCH + f"search: {{hidden_size: [{','.join(str(128 * i) for i in range(1, 2000))}]}}\n",
    "find: hardware\nbudget: {time: 1 day}\nhardware: [" + "h100-sxm-80gb:8, " * 50 + "h100-sxm-80gb:8]\n",
    SEARCH + "search: {max_alternatives: 900}\n",
    "\x00\x01\x02",
]

# In a process of its own: a hook on every file that is opened cannot be taken out again.
WATCHED = """
import json, os, sys
from simulator import library
from simulator.errors import SimulatorError
from simulator.web import work
from simulator.web.questions import Ask

own, opened, watching = (str(library.packaged_root()), sys.prefix, sys.base_prefix), [], False

def hook(event, arguments):
    if watching and event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        opened.append(os.fspath(arguments[0]))

sys.addaudithook(hook)
work.opened(work.Open(name="quickstart"))
replies = []
for text in json.load(sys.stdin):
    opened.clear()
    watching = True
    try:
        work.answer(Ask(client="x", effort="preview", scenario=text))
        told = "answered"
    except SimulatorError as error:
        told = f"refused: {error}"
    watching = False
    replies.append([told, [path for path in opened if not path.startswith(own)]])
json.dump(replies, sys.stdout)
"""


def test_hostile_text_is_refused_without_opening_anything(tmp_path) -> None:
    for place in ("secret.yaml", "cluster.yaml", "folder/config.json", "config.json"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text("name: PRIVATE\nmemory: 1 GB\n", encoding="utf-8")
    asked = json.dumps([*HOSTILE, "extends: quickstart"])
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], input=asked, capture_output=True, text=True, cwd=tmp_path, check=True
    )
    *hostile, known = json.loads(done.stdout)
    assert known == ["answered", []]
    for text, (told, opened) in zip(HOSTILE, hostile, strict=True):
        assert told.startswith("refused: "), text[:80]
        assert opened == [], text[:80]
        assert "PRIVATE" not in told
        assert "root:" not in told


@pytest.mark.parametrize(
    "changes",
    [
        {"hardware": [{"accelerator": "/etc/passwd", "n_gpus": 8}]},
        {"hardware": [{"accelerator": "../../hardware_specs/accelerators/h100-sxm-80gb.yaml"}]},
        {"hardware": [{"entry": 0}] * 99},
        {"hardware": [{"entry": 0, "n_gpus": -1}]},
        {"hardware": [{"entry": 0, "n_gpus": "8"}]},
        {"hardware": []},
        {"time_days": -1.0},
        {"time_days": "10 days"},
        {"time_days": 1e300},
        {"cost_usd": True},
        {"file": "/etc/passwd"},
    ],
)
def test_hostile_controls_are_refused(site: Site, changes: dict[str, Any]) -> None:
    status, reply = site.answer(SEARCH, **changes)
    assert status == 422
    assert reply["error"]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../scenarios/quickstart", "quickstart.yaml", "x" * 500, "", "nobody"]
)
def test_only_ids_are_opened(site: Site, name: str) -> None:
    status, reply = site.post("/api/open", {"name": name})
    assert status == 422
    assert "root:" not in reply["error"]
    assert "find:" not in reply["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b'{"client": "a"}',
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b"\xff\xfe\x00",
        b'{"client": "a b", "effort": "full", "scenario": "x"}',
        b'{"client": "a\\n", "effort": "full", "scenario": "x"}',
        b'{"client": "a", "effort": "everything", "scenario": "x"}',
        b'{"client": "a", "effort": "full", "scenario": "x", "changes": {"time_days": NaN}}',
        b'{"client": "a", "effort": "full", "scenario": "x", "changes": {"time_days": Infinity}}',
        json.dumps({"client": "a", "effort": "full", "scenario": "x" * 150_000}).encode(),
    ],
)
def test_a_malformed_body_is_refused(site: Site, body: bytes) -> None:
    status, reply = site.post("/api/answer", body)
    assert status == 422
    assert len(reply["error"]) < 600


# --- hostile requests -----------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_refused_unread(site: Site) -> None:
    assert site.post("/api/answer", b" " * (guards.MAX_BODY + 1))[0] == 413
    with socket.create_connection(("127.0.0.1", site.port), 10) as plain:
        head = f"POST /api/answer HTTP/1.1\r\nHost: {site.host}\r\nContent-Type: application/json\r\n"
        head += f"{guards.TOKEN_HEADER}: {site.token}\r\nContent-Length: 99999999999\r\n\r\n"
        plain.sendall(head.encode())
        assert b" 413 " in plain.recv(200)
    with socket.create_connection(("127.0.0.1", site.port), 10) as plain:
        head = head.replace("Content-Length: 99999999999", "Transfer-Encoding: chunked")
        plain.sendall(head.encode())
        try:
            for _ in range(40):
                plain.sendall(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
        except OSError:
            pass
        assert b" 413 " in plain.recv(200)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.evil.example", "10.0.0.1:{port}", "",
     "127.0.0.1:x", "[::ffff:10.0.0.1]", "2130706433"],
)  # fmt: skip
def test_a_name_that_was_made_to_point_here_is_refused(site: Site, host: str) -> None:
    status, headers, text = site.get("/", Host=host.format(port=site.port))
    assert status in (400, 421)
    assert site.token not in text
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["localhost:{port}", "LOCALHOST:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_names_of_this_machine_are_known(site: Site, host: str) -> None:
    assert site.get("/", Host=host.format(port=site.port))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "file://"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {guards.TOKEN_HEADER: "x" * 43},
        {guards.TOKEN_HEADER: ""},
        {guards.TOKEN_HEADER: "\xe9"},
    ],
)
def test_another_page_cannot_ask(site: Site, headers: dict[str, str]) -> None:
    status, reply = site.post("/api/open", {"name": "quickstart"}, **headers)
    assert status in (403, 415)
    assert "yaml" not in reply


def test_another_page_cannot_read_or_frame_the_page(site: Site) -> None:
    for extra in ({}, {"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        _, headers, _ = site.get("/", **extra)
        assert not [name for name in headers if name.startswith("access-control-")]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
    framed = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}
    assert site.get("/", **framed)[0] == 403
    assert site.get("/", **(framed | {"Sec_Fetch_Dest": "document"}))[0] == 200
    assert site.get("/api/start", **(framed | {"Sec_Fetch_Dest": "document"}))[0] == 403
    status, headers, _ = site.send("OPTIONS", "/api/answer", headers={"Origin": "http://evil.example"})
    assert status == 405
    assert not [name for name in headers if name.startswith("access-control-")]


def test_nothing_inline_may_run(site: Site) -> None:
    _, headers, page = site.get("/")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"\son\w+=|style=|javascript:", page) == []
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/../app.py", "//etc/passwd",
     "/app.js/../../questions.py", "/app.py", "/index.html", "/.git/config", "/app.js%00.css", "/..\\..\\x", "/api/answer/",
     "/%c0%ae%c0%ae/etc/passwd"],
)  # fmt: skip
def test_no_address_leads_to_a_file(site: Site, path: str) -> None:
    with socket.create_connection(("127.0.0.1", site.port), 10) as plain:
        plain.sendall(f"GET {path} HTTP/1.1\r\nHost: {site.host}\r\nConnection: close\r\n\r\n".encode())
        reply = b""
        while part := plain.recv(65536):
            reply += part
    assert reply.split(b" ", 2)[1] in (b"400", b"404")
    assert b"root:" not in reply
    assert b"import" not in reply


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND"])
def test_other_methods_are_refused(site: Site, method: str) -> None:
    assert site.send(method, "/api/open" if method != "CONNECT" else "x:1")[0] in (400, 405)


def test_a_header_given_twice_is_refused(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), 10) as plain:
        plain.sendall(f"GET / HTTP/1.1\r\nHost: {site.host}\r\nHost: evil.example\r\n\r\n".encode())
        assert b" 400 " in plain.recv(200)


def test_the_static_files_are_served(site: Site) -> None:
    for path, kind in (("/app.js", "text/javascript"), ("/app.css", "text/css"), ("/report.css", "text/css")):
        status, headers, text = site.get(path)
        assert status == 200
        assert headers["content-type"].startswith(kind)
        assert len(text) > 1000


def test_names_that_look_like_markup_stay_text(site: Site) -> None:
    nasty = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
    text = ESTIMATE.replace("A small one", f'"{nasty}"') + f'description: "{nasty}"\n'
    _, answer = site.answer(text)
    html = "".join(body for _, _, body in answer["sections"])
    assert "<img" not in html
    assert "<script" not in html
    assert "&lt;img" in html


# --- the processes --------------------------------------------------------------------------------------------------


def ask(text: str, effort: str = "full") -> bytes:
    return Ask(client="one", effort=effort, scenario=text).model_dump_json(exclude_unset=True).encode()


LONG = "find: growth\nbudget: {time: 30 days}\nhardware: {accelerator: h100-sxm-80gb}\ntraining: {unique_tokens: 30B}\n"


def test_the_latest_question_wins_and_an_endless_one_is_ended() -> None:
    async def play() -> None:
        worker = Worker(limit_s=60.0)
        try:
            await worker.ask("answer", ask(ESTIMATE), "warm")
            first = asyncio.create_task(worker.ask("answer", ask(LONG), "one"))
            await asyncio.sleep(0.5)
            assert not first.done()
            start = time.monotonic()
            second = asyncio.create_task(worker.ask("answer", ask(SEARCH), "one"))
            await asyncio.sleep(0)
            third = await worker.ask("answer", ask(ESTIMATE), "one")
            assert time.monotonic() - start < 20
            assert third["figures"]["params"] == 6738415616
            for old in (first, second):
                with pytest.raises(Superseded):
                    await old
            process = worker._process.pid
            worker.limit_s = 0.3
            with pytest.raises(TooLong):
                await worker.ask("answer", ask(LONG), "two")
            worker.limit_s = 60.0
            again = await worker.ask("answer", ask(ESTIMATE), "two")
            assert again["figures"] == third["figures"]
            # It was stopped, not started anew.
            assert worker._process.pid == process
            worker._process.kill()
            worker._process.join(5)
            assert (await worker.ask("answer", ask(ESTIMATE), "two"))["figures"] == third["figures"]
        finally:
            worker.close()

    asyncio.run(play())


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com", "192.168.1.4"])
def test_other_machines_must_be_meant(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    from simulator.cli import main

    assert main(["serve", "--host", host, "--port", "0"]) == 2
    assert "--allow-remote" in capsys.readouterr().err


def test_a_port_in_use_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    from simulator.cli import main

    assert main(["serve", "--port", str(site.port)]) == 2
    assert "cannot be listened on" in capsys.readouterr().err


def test_an_open_server_takes_addresses_and_given_names_but_no_others() -> None:
    guard = guards.Guard(None, "t", ["Sim.example"], remote=True)  # type: ignore[arg-type]
    assert guard.known("10.0.0.5:8642")
    assert guard.known("sim.example:8642")
    assert not guard.known("evil.example:8642")


def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "BODY_S", 0.05)
    sent: list[Any] = []

    async def play() -> None:
        async def receive() -> Any:
            await asyncio.sleep(60)

        async def send(message: Any) -> None:
            sent.append(message)

        async def reached(*_: Any) -> None:
            raise AssertionError

        headers = [
            (b"host", b"localhost"),
            (guards.TOKEN_HEADER.encode(), b"t"),
            (b"content-type", b"application/json"),
        ]
        scope = {"type": "http", "method": "POST", "path": "/api/open", "headers": headers}
        await guards.Guard(reached, "t")(scope, receive, send)

    asyncio.run(play())
    assert sent[0]["status"] == 408


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from simulator.cli import main

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "--port", "0"]) == 2
    assert "pip install 'trainsim[web]'" in capsys.readouterr().err
