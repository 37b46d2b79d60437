"""``trainsim import OWNER/MODEL`` against a hub of our own: one file is fetched, its commit pinned, every refusal clear."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from simulator.cli import main
from simulator.importers import hub
from simulator.schema import load_model

pytest.importorskip("huggingface_hub", reason="huggingface_hub is missing: pip install 'trainsim[hf]'")

COMMIT = "c1899de289a04d12100db370d81485cdf75e47ca"
CONFIG = (Path(__file__).parent / "data" / "hf" / "qwen3-0.6b.json").read_bytes()


class Hub(BaseHTTPRequestHandler):
    """What huggingface.co answers for a few models."""

    asked: ClassVar[list[str]] = []

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        Hub.asked.append(self.path)
        model, _, rest = self.path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        if model == "meta/gated":
            self._send(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        elif model not in ("Qwen/Qwen3-0.6B", "Qwen/weights-only"):
            self._send(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        elif revision not in ("main", "v1", COMMIT):
            self._send(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "no revision"})
        elif file != "config.json" or model == "Qwen/weights-only":
            self._send(
                404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "no file", "X-Repo-Commit": COMMIT}
            )
        else:
            self._send(200, {"X-Repo-Commit": COMMIT, "ETag": '"abc"', "Content-Type": "text/plain"}, CONFIG)

    do_HEAD = do_GET  # noqa: N815 - named by http.server

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def imported(address: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own: the hub's address is read when huggingface_hub is imported."""
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment = clean | {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment.pop("HF_TOKEN", None)
    return subprocess.run(
        [sys.executable, "-m", "simulator.cli", "import", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_one_file_is_fetched_and_its_commit_pinned(address: str, tmp_path: Path) -> None:
    found = imported(address, tmp_path / "home", "Qwen/Qwen3-0.6B", "--out", str(tmp_path / "qwen.yaml"))
    assert found.returncode == 0, found.stderr
    assert {path.partition("/resolve/")[2] for path in Hub.asked} == {"main/config.json"}
    written = yaml.safe_load((tmp_path / "qwen.yaml").read_text())
    assert written["source"] == f"https://huggingface.co/Qwen/Qwen3-0.6B/blob/{COMMIT}/config.json"
    assert written["name"] == "Qwen3-0.6B"
    model = load_model(str(tmp_path / "qwen.yaml"))
    assert (model.num_hidden_layers, model.hidden_size, model.vocab_size) == (28, 1024, 151936)


@pytest.mark.parametrize("arguments", [["--revision", "v1"], []])
def test_a_revision_may_be_named(address: str, tmp_path: Path, arguments: list[str]) -> None:
    name = "Qwen/Qwen3-0.6B" if arguments else f"Qwen/Qwen3-0.6B@{COMMIT}"
    found = imported(address, tmp_path, name, *arguments, "--json")
    assert found.returncode == 0, found.stderr
    assert COMMIT in json.loads(found.stdout)["data"]["source"]
    assert all((arguments[-1:] or [COMMIT])[0] in path for path in Hub.asked)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["meta/gated"], "gated"),
        (["Qwen/Qwen9"], "no such model"),
        (["Qwen/weights-only"], "no config.json"),
        (["Qwen/Qwen3-0.6B", "--revision", "v9"], "no revision 'v9'"),
    ],
)
def test_every_refusal_is_one_clear_error(
    address: str, tmp_path: Path, arguments: list[str], says: str
) -> None:
    found = imported(address, tmp_path, *arguments, "--out", str(tmp_path / "out.yaml"))
    assert found.returncode == 2
    assert says in found.stderr
    assert "Traceback" not in found.stderr
    assert len(found.stderr.strip().splitlines()) <= 2
    assert found.stdout == ""
    assert not (tmp_path / "out.yaml").exists()


def test_without_a_network_the_cache_still_answers(address: str, tmp_path: Path) -> None:
    assert imported(address, tmp_path, "Qwen/Qwen3-0.6B").returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    again = imported(nobody, tmp_path, "Qwen/Qwen3-0.6B")
    assert again.returncode == 0, again.stderr
    assert COMMIT in again.stdout
    other = imported(nobody, tmp_path, "Qwen/Qwen3-8B")
    assert other.returncode == 2
    assert "cannot be reached" in other.stderr
    assert "Traceback" not in other.stderr


def test_a_path_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(hub, "fetch", refuse)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Qwen" / "Qwen3-0.6B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(CONFIG)
    assert main(["import", "Qwen/Qwen3-0.6B"]) == 0
    assert "hidden_size: 1024" in capsys.readouterr().out
    assert main(["import", "configs/none.toml"]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["import", str(folder / "config.json"), "--revision", "v1"]) == 2
    assert "OWNER/MODEL" in capsys.readouterr().err


def test_without_huggingface_hub_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["import", "Qwen/Qwen3-0.6B"]) == 2
    assert "trainsim[hf]" in capsys.readouterr().err
