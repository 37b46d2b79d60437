"""``trainsim prices``: dated, aged, and taken anew through gpuhunt without half-written files."""

from __future__ import annotations

import builtins
import csv
import datetime
import io
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import simulator as sim
from simulator.cli import main
from simulator.errors import SpecError
from simulator.importers import catalog
from simulator.schema.load import load_accelerator, load_price_book
from simulator.schema.quotes import age_days, book_of, books, newest_day, quotes, today, unusual

# gpuhunt leaves the files of a recorded catalog to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

RECORDED = Path(__file__).parent / "data" / "gpuhunt"
DAY = datetime.date(2026, 11, 21)


@dataclass
class Item:
    """The fields of gpuhunt's ``CatalogItem`` that are read."""

    provider: str = "aws"
    instance_name: str = "p5.48xlarge"
    location: str = "us-east-1"
    price: float = 55.04
    gpu_count: int = 8
    gpu_name: str | None = "H100"
    gpu_memory: float | None = 80.0
    spot: bool = False


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of prices that is empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("TRAINSIM_PATH", raising=False)
    return tmp_path / "config" / "trainsim" / "prices"


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gpuhunt", reason="gpuhunt is missing: pip install 'trainsim[prices]'")
    monkeypatch.setenv("GPUHUNT_CATALOG_DIR", str(RECORDED))


# --- list -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["list", "h100"], ["h100"], ["--provider", "lambda", "h100"]])
def test_the_verb_list_may_be_left_out(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", *words]) == 0
    page = capsys.readouterr().out
    assert "h100-sxm-80gb" in page
    assert "US dollars" in page


def test_every_price_has_provider_terms_date_currency_and_age(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) > 100
    for row in rows:
        assert row["provider"]
        assert row["terms"]
        assert row["date"]
        assert row["source"]
        assert row["currency"] == "USD"
        assert row["age_days"] >= 0
        assert row["old"] is (row["age_days"] > 180)
    assert {row["old"] for row in rows} == {True, False}


def test_csv_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "list", "a100", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {"accelerator", "provider", "terms", "currency", "usd_per_gpu_hour", "date", "old"} <= set(rows[0])


def test_no_page_of_prices_is_wider_than_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("written", "newest"),
    [
        ("2026-08-19", "2026-08-19"),
        ("2026-02", "2026-02-28"),
        ("2024-02", "2024-02-29"),
        ("2024-2026", "2026-11-21"),
        ("2025-2026 (catalog v8)", "2026-11-21"),
        ("before mid-2025", "2025-12-31"),
        ("last spring", "2026-11-21"),
        (datetime.date(2025, 5, 1), "2025-05-01"),
    ],
)
def test_a_date_is_its_last_day(written: str | datetime.date, newest: str) -> None:
    assert str(newest_day(written, DAY)) == newest


def test_the_day_comes_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINSIM_TODAY", "2027-11-21")
    assert age_days(DAY) == 365
    assert age_days(DAY, datetime.date(2026, 12, 1)) == 10
    monkeypatch.setenv("TRAINSIM_TODAY", "tomorrow")
    with pytest.raises(SpecError, match="TRAINSIM_TODAY"):
        today()
    monkeypatch.delenv("TRAINSIM_TODAY")
    assert today() == datetime.datetime.now(tz=datetime.UTC).date()


def test_an_old_price_is_said_to_be_old_and_a_written_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def ids(**hardware: Any) -> list[str]:
        question = {
            "model": "llama-2-7b",
            "training": {"tokens": "1B"},
            "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64, **hardware},
        }
        return [warning["id"] for warning in sim.run(question).warnings]

    assert "old-price" not in ids()
    monkeypatch.setenv("TRAINSIM_TODAY", "2028-01-01")
    assert "old-price" in ids()
    assert "old-price" not in ids(price="$2.50/GPU-h")


def asked(accelerator: str = "h100-sxm-80gb", **hardware: Any) -> dict[str, Any]:
    return {
        "model": "llama-2-7b",
        "training": {"tokens": "1B"},
        "hardware": {"accelerator": accelerator, "n_gpus": 64, **hardware},
    }


def test_the_newest_price_of_a_provider_holds_not_its_cheapest() -> None:
    """Lambda's was $3.50 of July 2024, with a warning that it is old, though its book has one of 2026."""
    result = sim.run(asked(price={"provider": "lambda"}))
    assert result.answer["usd_per_gpu_hour"] == 3.99
    assert "old-price" not in [warning["id"] for warning in result.warnings]


def test_of_prices_of_the_same_day_the_cheapest_holds() -> None:
    assert sim.run(asked("b200-sxm-180gb", price={"provider": "lambda"})).answer["usd_per_gpu_hour"] == 6.69


@pytest.mark.parametrize(
    ("price", "path", "says"),
    [
        (
            {"provider": "crusoe"},
            "hardware.price",
            "for v100-sxm2-32gb\n  sold by AWS (on demand, $3.90/GPU-h); write price: {provider: AWS}, or a rent",
        ),
        ({"provider": "aws", "terms": "spot"}, "hardware.price", "write price: {provider: AWS}"),
        (
            {"provider": "aws", "region": "mars"},
            "hardware.price.region",
            "in region 'mars'\n  leave region out",
        ),
    ],
)
def test_a_price_that_nobody_asks_says_who_sells_the_part(price: Any, path: str, says: str) -> None:
    """It said only: no price named 'crusoe on_demand v100-sxm2-32gb'."""
    with pytest.raises(SpecError) as error:
        sim.run(asked("v100-sxm2-32gb", price=price))
    assert error.value.problems[0].path == path
    assert says in str(error.value)


def test_a_part_that_nobody_sells_is_to_be_priced_by_hand() -> None:
    with pytest.raises(SpecError, match=r"no price book has it; write a rent such as \$2.50/GPU-h"):
        sim.run(asked("mi325x-oam-256gb", price={"provider": "crusoe"}))


@pytest.mark.parametrize(
    ("price", "odd"),
    [
        ("$25/GPU-h", "is 6.5 times"),
        ("$0.05/GPU-h", "is 0.013 times"),
        ("$1800/node-h", "times"),
        ({"buy": "$250k/GPU"}, "times"),
        ("$25/node-h", ""),
        ("$1.30/GPU-h", ""),
        ("$12.29/GPU-h", ""),
        ({"buy": "$30k/GPU"}, ""),
        ({"provider": "aws"}, ""),
    ],
)
def test_a_price_far_from_those_of_the_part_is_questioned(price: Any, odd: str) -> None:
    found = [w["message"] for w in sim.run(asked(price=price)).warnings if w["id"] == "price-range"]
    assert len(found) == bool(odd)
    assert all(odd in message for message in found)


def test_no_shipped_price_is_questioned_and_no_part_without_one() -> None:
    parts = {entry.accelerator for book in books() for entry in book.prices}
    assert [(each, q.label) for each in parts for q in quotes(each) if unusual(each, q)] == []
    assert "price-range" not in [
        w["id"] for w in sim.run(asked("mi325x-oam-256gb", price="$99/GPU-h")).warnings
    ]


def test_a_provider_is_taken_for_one_without_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    """``prices lambda`` said: no price."""
    assert main(["prices", "lambda", "h100"]) == 0
    bare = capsys.readouterr().out
    assert main(["prices", "h100", "--provider", "lambda"]) == 0
    assert bare == capsys.readouterr().out
    assert "Lambda" in bare


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["prices", "lmbda"], "Lambda"),
        (["prices", "h1000", "--json"], "h100-sxm-80gb"),
        (["hardware", "list", "hoper"], "hopper"),
        (["hardware", "list", "ascend"], "NVIDIA"),
    ],
)
def test_words_that_match_nothing_get_the_nearest_names(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """``hardware list ascend`` printed a header and nothing below."""
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert says in streams.err


def test_a_known_part_without_such_a_price_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["prices", "h100", "--provider", "lambda", "--terms", "spot"]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("no price: h100, lambda, spot;")


# --- refresh --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "accelerator"),
    [
        (Item(), "h100-sxm-80gb"),
        (Item(gpu_name="A100", gpu_memory=40, instance_name="p4d.24xlarge"), "a100-sxm-40gb"),
        (Item("azure", "Standard_NC24ads_A100_v4", gpu_name="A100"), "a100-pcie-80gb"),
        (Item("gcp", "a3-megagpu-8g"), "h100-sxm-80gb"),
        (Item("runpod", "NVIDIA H100 PCIe"), "h100-pcie-80gb"),
        (Item("runpod", "NVIDIA H100 80GB HBM3"), "h100-sxm-80gb"),
        (Item("aws", "p3.16xlarge", gpu_name="V100", gpu_memory=16), "v100-sxm2-16gb"),
        (Item("aws", "p3dn.24xlarge", gpu_name="V100", gpu_memory=32), "v100-sxm2-32gb"),
        (Item("verda", "8B300.240V", gpu_name="B300", gpu_memory=270), "b300-sxm-288gb"),
        (Item("hotaisle", "1x", gpu_name="mi300x", gpu_memory=192), "mi300x-oam-192gb"),
        (Item("vultr", "vcg-h100-216c-1914gb-640vram"), None),
        (Item("runpod", "NVIDIA GeForce RTX 3080", gpu_name="RTX3080", gpu_memory=12), None),
        (Item(gpu_name="RadeonProV520", gpu_memory=8), None),
        (Item(gpu_name=None, gpu_memory=None), None),
    ],
)
def test_accelerators_of_the_catalog(item: Item, accelerator: str | None) -> None:
    found, reason = catalog.accelerator_of(item)
    assert found == accelerator
    assert bool(reason) is (accelerator is None)


def test_every_accelerator_that_is_mapped_exists() -> None:
    for names in catalog.GPUS.values():
        for name in names:
            assert load_accelerator(name).id == name


def test_prices_are_per_accelerator_and_the_cheapest_region_is_kept() -> None:
    items = [
        Item(),
        Item(location="ap-northeast-1", price=68.8),
        Item(spot=True, price=31.1),
        Item(price=0.08),
    ]
    book = catalog.book_of_offers("aws", items, date=DAY, version="0.1.34")
    assert book is not None
    assert [(e["terms"], e["price"], e["region"]) for e in book.data["prices"]] == [
        ("on_demand", "$6.88/GPU-h", "us-east-1"),
        ("spot", "$3.8875/GPU-h", "us-east-1"),
    ]
    assert book.data["prices"][0]["source"] == "gpuhunt 0.1.34 catalog, 2026-11-21"
    assert any("not plausible" in line for line in book.left_out)


def test_hosts_of_a_marketplace_set_the_price() -> None:
    item = Item("vastai", "1234", gpu_name="RTX4090", gpu_memory=24, gpu_count=1, price=0.35)
    book = catalog.book_of_offers("vastai", [item], date=DAY, version="0")
    assert book is not None
    assert (book.file, book.data["prices"][0]["terms"]) == ("vast.yaml", "marketplace")


def test_a_refresh_takes_the_place_of_the_shipped_books(
    own: Path, recorded: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {q.source for q in quotes("h100-sxm-80gb", provider="AWS")}
    assert (
        main(["prices", "refresh", "--provider", "aws", "--provider", "azure", "--provider", "Lambda"]) == 0
    )
    streams = capsys.readouterr()
    assert [Path(line).name for line in streams.out.splitlines()] == ["aws.yaml", "azure.yaml", "lambda.yaml"]
    assert "RadeonProV520" in streams.err
    book = load_price_book("aws")
    assert (own / "aws.yaml").read_text().startswith("# Written by trainsim prices refresh, 2026-11-21.")
    assert {entry.retrieved for entry in book.prices} == {DAY}
    sources = {q.source for q in quotes("h100-sxm-80gb", provider="AWS")}
    assert len(sources) == 1
    assert "gpuhunt" in sources.pop()
    assert before.isdisjoint(sources)
    assert "EC2" in book.aliases
    assert book_of("lambda").provider == "Lambda"
    rents = [q.usd_per_gpu_hour for q in quotes("h100-sxm-80gb", provider="AWS", terms="on_demand")]
    assert rents == [6.88, 6.88]
    lambda_ = quotes("h100-sxm-80gb", provider="Lambda", terms="on_demand")
    assert [q.usd_per_gpu_hour for q in lambda_] == [pytest.approx(2.99)]


def test_a_refresh_as_json_says_what_failed_and_what_was_left_out(
    tmp_path: Path, recorded: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["runpod", "lambda", "crusoe"]
    arguments = [part for name in names for part in ("--provider", name)]
    assert main(["prices", "refresh", *arguments, "--out", str(tmp_path / "new"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(path).name for path in found["written"]] == ["runpod.yaml", "lambda.yaml"]
    assert "credentials" in found["failed"]["crusoe"]
    left = " ".join(found["left_out"]["runpod"])
    assert "B200" in left
    assert "plausible" in left
    assert "PCIe from SXM" in found["left_out"]["lambda"][0]
    data = yaml.safe_load((tmp_path / "new" / "runpod.yaml").read_text())
    assert {entry["accelerator"] for entry in data["prices"]} == {"h100-pcie-80gb", "h100-sxm-80gb"}


def test_a_second_refresh_replaces_the_first_but_not_your_own_file(
    own: Path, recorded: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prices", "refresh", "--provider", "aws"]) == 0
    first = (own / "aws.yaml").read_text()
    assert main(["prices", "refresh", "--provider", "aws"]) == 0
    assert (own / "aws.yaml").read_text() == first
    mine = "# our contract\n" + first
    (own / "aws.yaml").write_text(mine)
    assert main(["prices", "refresh", "--provider", "aws", "--provider", "azure"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (own / "aws.yaml").read_text() == mine
    assert not (own / "azure.yaml").exists()
    assert main(["prices", "refresh", "--provider", "aws", "--force"]) == 0
    assert (own / "aws.yaml").read_text() == first


def test_without_a_network_one_clear_error_and_no_file(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gpuhunt = pytest.importorskip("gpuhunt", reason="gpuhunt is missing: pip install 'trainsim[prices]'")
    gpuhunt.default_catalog.cache_clear()

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network here")

    monkeypatch.delenv("GPUHUNT_CATALOG_DIR", raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["prices", "refresh"]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "cannot be reached" in streams.err
    assert "Traceback" not in streams.err
    assert len(streams.err.splitlines()) <= 3
    assert not own.exists()


def test_without_gpuhunt_the_extra_is_named(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def hidden(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] == "gpuhunt":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", hidden)
    assert main(["prices", "refresh"]) == 2
    assert "trainsim[prices]" in capsys.readouterr().err


def test_an_unknown_provider_gets_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "refresh", "--provider", "cruso"]) == 2
    assert "crusoe" in capsys.readouterr().err


def test_neither_run_nor_compare_reaches_the_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert main(["run", "llama-2-7b-a100", "--json"]) == 0
    assert main(["compare", "llama-2-7b-a100", "--hardware", "a100-sxm-80gb:128", "--json"]) == 0
    assert main(["prices", "h100"]) == 0
