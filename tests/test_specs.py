"""The shipped hardware: every file loads, names are unique, numbers have a source and obey physics."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulator import library
from simulator.errors import SpecError, UnknownNameError
from simulator.schema import (
    Accelerator,
    load_accelerator,
    load_cluster,
    load_price_book,
    load_spec,
)

ROOT = Path(__file__).parents[1] / "hardware_specs"
ACCELERATORS = sorted(path.stem for path in (ROOT / "accelerators").glob("*.yaml"))
CLUSTERS = sorted(path.stem for path in (ROOT / "clusters").glob("*.yaml"))
PRICES = sorted(path.stem for path in (ROOT / "prices").glob("*.yaml"))
FILES = [
    *(("accelerators", name) for name in ACCELERATORS),
    *(("clusters", name) for name in CLUSTERS),
    *(("prices", name) for name in PRICES),
]

# Every spelling of a GPU in the published measurements that the simulator is validated on: training runs,
# single kernels and collectives, and what other tools and tables write.
TRAINING_NAMES = [
    "A100-SXM-40GB", "A100-SXM-80GB", "A800-SXM-80GB", "B200-SXM-180GB", "B300", "GB200", "GB300", "GTX TITAN X",
    "Gaudi2", "H100-SXM-80GB", "H100-SXM-96GB-HBM2e", "H200-NVL-141GB", "H200-SXM-141GB", "L40S", "MI300X", "MI325X",
    "P100-SXM2-16GB", "RTX 4070 Ti SUPER", "RTX 4090", "TPU v4", "TPU v5e", "TPU v5p", "TPU v6e", "TPU v7x (Ironwood)",
    "V100-SXM2-16GB", "V100-SXM2-32GB",
]  # fmt: skip
KERNEL_NAMES = [
    "A100-PCIe-80GB", "A100-SXM", "A100-SXM (LLMCompass node)", "GH200", "GH200-120GB", "Gaudi3", "MI210", "MI355X",
    "RTX PRO 6000 Blackwell", "V100-SXM2",
]  # fmt: skip
OTHER_NAMES = [
    "A10", "A100", "A100-PCIe-40GB", "A10G", "A40", "A6000", "B200", "GH200 (96GB)", "H100", "H100-NVL-94GB",
    "H100-PCIe-80GB", "H20", "H200", "H800", "L4", "MI250", "MI250X", "MI350X", "NVIDIA A100-SXM4-80GB",
    "NVIDIA GeForce RTX 4090", "NVIDIA H100 80GB HBM3", "P100-PCIe-16GB", "RTX 3080", "RTX 3090", "RTX 5090",
    "Rubin SXM", "T4", "TPU v3", "TPU v3 device", "TPU v4 pod", "Tesla T4", "Trainium2", "V100", "V100-PCIe-32GB",
]  # fmt: skip


def raw(kind: str, name: str) -> dict[str, Any]:
    """The file as written."""
    data: dict[str, Any] = yaml.safe_load((ROOT / kind / f"{name}.yaml").read_text(encoding="utf-8"))
    return data


def field_exists(data: dict[str, Any], dotted: str) -> bool:
    """Whether a dotted path leads to a field of the file."""
    here: Any = data
    for part in dotted.split("."):
        if not isinstance(here, dict) or part not in here:
            return False
        here = here[part]
    return True


def provenance_faults(data: dict[str, Any], today: datetime.date) -> list[str]:
    """What is wrong with the sources of one file: empty list if each number can be traced."""
    faults = [f"{key} is missing" for key in ("source", "retrieved") if not data.get(key)]
    if data.get("source") and len(str(data["source"])) < 10:
        faults.append("source names no document")
    if data.get("retrieved"):
        day = datetime.date.fromisoformat(str(data["retrieved"]))
        if not datetime.date(2024, 1, 1) <= day <= max(today, datetime.date(2026, 11, 21)):
            faults.append(f"retrieved {day} is not a day on which this could be read")
    for part in ("sources", "doubtful"):
        for path, value in (data.get(part) or {}).items():
            optional = part == "doubtful" and "left out" in str(value)
            if not optional and not field_exists(data, path):
                faults.append(f"{part}.{path} names no field of this file")
            if not value or any(
                not str(text).strip() for text in (value if isinstance(value, list) else [value])
            ):
                faults.append(f"{part}.{path} is empty")
    return faults


# Loading and names


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_every_file_loads_and_is_called_what_its_file_is_called(kind: str, name: str) -> None:
    spec = load_spec(kind, name)
    assert spec.id == name
    assert raw(kind, name)["id"] == name, "the id is written out, so that a copied file is noticed"


def test_there_are_at_least_thirty_accelerators_from_volta_to_blackwell_ultra() -> None:
    assert len(ACCELERATORS) >= 30
    architectures = {load_accelerator(name).architecture for name in ACCELERATORS}
    assert {"volta", "ampere", "ada", "hopper", "blackwell", "cdna2", "cdna3", "cdna4"} <= architectures


@pytest.mark.parametrize("folder", ["accelerators", "clusters", "prices", "models"])
def test_no_two_files_answer_to_one_name(folder: str) -> None:
    owner: dict[str, str] = {}
    root = ROOT.parent / "scenarios" if folder == "models" else ROOT
    for path in sorted((root / folder).glob("*.yaml")):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        for text in [path.stem, *data.get("aliases", [])]:
            name = owner.setdefault(library.normalise(text), path.stem)
            assert name == path.stem, f"{text} is claimed by {name} and {path.stem}"
            assert library.find(folder, text) == path, f"{text} finds another file"


@pytest.mark.parametrize("kind", ["accelerators", "clusters", "prices"])
def test_no_file_lists_an_alias_twice_or_repeats_its_id(kind: str) -> None:
    for path in sorted((ROOT / kind).glob("*.yaml")):
        written = [
            library.normalise(alias) for alias in [path.stem, *raw(kind, path.stem).get("aliases", [])]
        ]
        twice = {alias for alias in written if written.count(alias) > 1}
        assert not twice, f"{path.name}: {twice} differ only in case or separators"


@pytest.mark.parametrize("name", TRAINING_NAMES + KERNEL_NAMES + OTHER_NAMES)
def test_every_spelling_of_the_published_measurements_resolves(name: str) -> None:
    assert load_accelerator(name).id in ACCELERATORS


def test_an_alias_means_the_machine_that_its_readers_mean() -> None:
    assert load_accelerator("H100").id == "h100-sxm-80gb"
    assert load_accelerator("A100").id == "a100-sxm-80gb"
    assert load_accelerator("H100-SXM-96GB-HBM2e").memory_bandwidth == pytest.approx(2.4e12)
    assert load_accelerator("RTX PRO 6000 Blackwell").id != load_accelerator("RTX A6000").id
    assert load_accelerator("MI250X").memory == pytest.approx(64e9), "PyTorch counts dies (GCDs)"
    assert load_accelerator("MI250").memory == pytest.approx(128e9), "MosaicML counts modules"


@pytest.mark.parametrize("table", ["throughput.csv", "memory.csv"])
def test_measurement_tables_in_the_repository_name_only_known_accelerators(table: str) -> None:
    path = ROOT.parent / "measurements" / table
    if not path.exists():
        pytest.skip(f"measurements/{table} is not in this checkout")
    with path.open(encoding="utf-8", newline="") as file:
        used = {row["gpu"] for row in csv.DictReader(file) if row.get("gpu")}
    unknown = {name for name in used if library.normalise(name) not in map(library.normalise, known_names())}
    assert not unknown


def known_names() -> list[str]:
    """Ids and aliases of every accelerator."""
    return ACCELERATORS + [
        alias for name in ACCELERATORS for alias in raw("accelerators", name).get("aliases", [])
    ]


@pytest.mark.parametrize("name", TRAINING_NAMES)
def test_accelerators_with_published_training_runs_say_that_they_were_measured(name: str) -> None:
    assert load_accelerator(name).measured


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("accelerators", "4090", "rtx-4090-24gb"),
        ("accelerators", "3090", "rtx-3090-24gb"),
        ("accelerators", "5090", "rtx-5090-32gb"),
        ("accelerators", "h100-80", "h100-sxm-80gb"),
        ("accelerators", "a100-80g", "a100-sxm-80gb"),
        ("accelerators", "a100-40g", "a100-sxm-40gb"),
        ("accelerators", "v5e", "tpu-v5e"),
        ("accelerators", "v5p", "tpu-v5p"),
        ("accelerators", "v6e", "tpu-v6e"),
        ("accelerators", "HL-225H", "gaudi2-96gb"),
        ("clusters", "p4d", "aws-p4d"),
        ("clusters", "ND96isr_H200_v5", "azure-nd-h100-v5"),
        ("clusters", "a3 mega", "gcp-a3-mega"),
    ],
)
def test_short_names_that_people_type(kind: str, name: str, expected: str) -> None:
    assert library.find(kind, name).stem == expected


def test_an_accelerator_that_does_not_ship_is_not_taken_for_its_sister() -> None:
    with pytest.raises(UnknownNameError) as caught:
        library.find("accelerators", "mi300")  # the MI300A is no MI300X
    assert caught.value.suggestions[0] == "mi300x-oam-192gb"


# Sources


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_every_number_can_be_traced(kind: str, name: str) -> None:
    data = raw(kind, name)
    entries = data["prices"] if kind == "prices" else [data]
    today = datetime.datetime.now(tz=datetime.UTC).date()
    assert [fault for entry in entries for fault in provenance_faults(entry, today)] == []


@pytest.mark.parametrize("key", ["source", "retrieved"])
def test_an_accelerator_without_a_source_or_its_date_is_refused(key: str, tmp_path: Path) -> None:
    data = raw("accelerators", "h100-sxm-80gb")
    del data[key], data["id"]
    path = tmp_path / "doctored.yaml"
    path.write_text(yaml.safe_dump({**data, **dates(data)}), encoding="utf-8")
    with pytest.raises(SpecError, match=key):
        load_accelerator(str(path))
    assert f"{key} is missing" in provenance_faults(data, datetime.date(2026, 11, 21))


@pytest.mark.parametrize("key", ["source", "retrieved", "terms"])
def test_a_price_without_source_date_or_terms_is_refused(key: str, tmp_path: Path) -> None:
    book = raw("prices", "digitalocean")
    del book["id"], book["prices"][0][key]
    path = tmp_path / "doctored.yaml"
    path.write_text(yaml.safe_dump(book), encoding="utf-8")
    with pytest.raises(SpecError, match=key):
        load_price_book(str(path))


def test_a_source_for_a_field_that_is_not_there_is_noticed() -> None:
    data = raw("accelerators", "h100-sxm-80gb")
    data["sources"]["memory_bandwith"] = ["a datasheet"]
    assert "names no field" in " ".join(provenance_faults(data, datetime.date(2026, 11, 21)))


def test_most_accelerators_have_a_second_source_for_peak_and_bandwidth() -> None:
    def backed(name: str, field: str) -> bool:
        return any(path.split(".")[0] == field for path in raw("accelerators", name).get("sources", {}))

    assert sum(backed(name, "peak_flops") for name in ACCELERATORS) >= 40
    assert sum(backed(name, "memory_bandwidth") for name in ACCELERATORS) >= 35


def dates(data: dict[str, Any]) -> dict[str, str]:
    """Dates as text, as they stand in the file."""
    return {key: str(value) for key, value in data.items() if isinstance(value, datetime.date)}


# Physics

# Dense 16-bit FLOP per clock and processor, by architecture: tensor-core width as vendors describe it.
# A peak with sparsity would ask for a clock of 3 to 4 GHz, a peak of half a chip for one below 1.
FLOP_PER_CLOCK = {
    "maxwell": 256, "pascal": 256, "volta": 1024, "turing": 1024, "ampere": 2048, "hopper": 4096, "blackwell": 8192,
    "cdna1": 512, "cdna2": 1024, "cdna3": 2048, "cdna4": 4096,
}  # fmt: skip
# GA102, Ada and GB202: professional cards; GeForce cards (512) accumulate in fp32 at half rate.
NARROW = {
    "a40-pcie-48gb": 1024, "a6000-pcie-48gb": 1024, "a10-pcie-24gb": 1024, "a10g-24gb": 512, "l4-24gb": 1024,
    "l40s-48gb": 1024, "rtx-3080-10gb": 512, "rtx-3090-24gb": 512, "rtx-4070-ti-super-16gb": 512,
    "rtx-4090-24gb": 512, "l40-48gb": 512, "rtx-5090-32gb": 512, "rtx-pro-6000-blackwell-96gb": 1024,
}  # fmt: skip
CAPPED = {"h20-sxm-96gb", "h20-sxm-141gb", "l20-48gb"}  # tensor rate cut by the vendor for export


def half_precision(spec: Accelerator) -> float | None:
    """Dense 16-bit peak. [FLOP/s]"""
    return spec.peak_flops.bf16 or spec.peak_flops.fp16


def implied_clock_hz(name: str) -> float | None:
    """Clock that the 16-bit peak asks for, or None if the chip's width is not known. [Hz]"""
    spec = load_accelerator(name)
    width = NARROW.get(name) or FLOP_PER_CLOCK.get(spec.architecture or "")
    rate = half_precision(spec)
    return rate / (width * spec.sm_count) if width and spec.sm_count and rate else None


def test_peak_is_dense_because_it_needs_a_clock_that_silicon_runs_at() -> None:
    clocks = {
        name: hertz for name in ACCELERATORS if name not in CAPPED and (hertz := implied_clock_hz(name))
    }
    assert len(clocks) >= 44
    assert {name: hertz for name, hertz in clocks.items() if not 1.0e9 < hertz < 2.7e9} == {}


def test_a_peak_with_sparsity_would_be_caught() -> None:
    spec = load_accelerator("h100-sxm-80gb")
    assert spec.sm_count is not None
    assert 1979e12 / (FLOP_PER_CLOCK["hopper"] * spec.sm_count) > 2.7e9


@pytest.mark.parametrize("name", ACCELERATORS)
def test_memory_is_plausible(name: str) -> None:
    spec = load_accelerator(name)
    assert 8e9 <= spec.memory <= 400e9
    assert 0.25e12 <= spec.memory_bandwidth <= 25e12
    assert 0.010 <= spec.memory / spec.memory_bandwidth <= 0.100, (
        "one pass over the memory takes 10 to 100 ms"
    )
    if spec.memory_usable is not None:
        assert 0.9 <= spec.memory_usable / spec.memory <= 1.1, "GB against GiB is 7 %"


@pytest.mark.parametrize("name", ACCELERATORS)
def test_compute_and_memory_are_in_proportion(name: str) -> None:
    spec = load_accelerator(name)
    rate = half_precision(spec)
    if rate is not None:
        assert 15 <= rate / spec.memory_bandwidth <= 600, "FLOP per byte of memory traffic"
        if spec.tdp is not None:
            assert 0.02e12 <= rate / spec.tdp <= 3e12, "FLOP/s per watt"
    if spec.tdp is not None:
        assert 50 <= spec.tdp <= 2500


@pytest.mark.parametrize("name", ACCELERATORS)
def test_number_formats_are_ordered(name: str) -> None:
    spec = load_accelerator(name)
    peak, doubts = spec.peak_flops.known(), spec.doubtful
    if {"fp16", "fp32"} <= set(peak):
        assert peak["fp16"] >= peak["fp32"]
    if {"bf16", "fp16"} <= set(peak):
        assert peak["bf16"] == (0.5 if spec.architecture == "cdna1" else 1.0) * peak["fp16"]
    if {"tf32", "fp32"} <= set(peak):
        assert peak["tf32"] >= peak["fp32"]
    if {"tf32", "bf16"} <= set(peak):
        assert peak["tf32"] / peak["bf16"] == pytest.approx(0.5, rel=0.03) or peak["tf32"] == peak["bf16"]
    if {"fp8", "bf16"} <= set(peak) and "peak_flops.fp8" not in doubts:
        ratio = peak["fp8"] / peak["bf16"]
        assert ratio == pytest.approx(2, rel=0.05) or ratio == pytest.approx(1), (
            "fp8 doubles bf16 or equals it"
        )
    if {"fp4", "fp8"} <= set(peak):
        assert peak["fp4"] >= 1.9 * peak["fp8"]


def test_only_these_gain_nothing_from_fp8() -> None:
    flat = {
        name
        for name in ACCELERATORS
        for peak in [load_accelerator(name).peak_flops]
        if peak.fp8 and peak.bf16 and peak.fp8 == peak.bf16
    }
    assert flat == {"gaudi3-128gb", "tpu-v6e"}


NVLINK_ONE_WAY = {
    "NVLink1": 80e9, "NVLink2": 150e9, "NVLink3": 300e9, "NVLink4": 450e9, "NVLink5": 900e9, "NVLink6": 1800e9,
}  # fmt: skip


@pytest.mark.parametrize("name", ACCELERATORS)
def test_links_are_counted_in_one_direction(name: str) -> None:
    spec = load_accelerator(name)
    if spec.link is None:
        return
    kind = spec.link.type or ""
    for generation, one_way in NVLINK_ONE_WAY.items():
        if kind.startswith(generation):
            expected = 200e9 if "cut" in kind else one_way
            assert spec.link.one_way == pytest.approx(expected)
    if kind.startswith("PCIe"):
        assert spec.link.one_way in (16e9, 32e9, 64e9, 128e9)
    if spec.network is not None:
        assert spec.network.one_way <= spec.link.one_way, "the network is never faster than the node"
    if spec.host_link is not None:
        assert 10e9 <= spec.host_link.one_way <= 500e9


def test_variants_of_one_chip_agree() -> None:
    assert load_accelerator("H200").peak_flops.bf16 == load_accelerator("H100").peak_flops.bf16
    assert load_accelerator("A800").peak_flops.bf16 == load_accelerator("A100").peak_flops.bf16
    die, module = load_accelerator("mi250x-gcd-64gb"), load_accelerator("mi250x-oam-128gb")
    assert module.memory == 2 * die.memory
    assert module.peak_flops.bf16 == 2 * (die.peak_flops.bf16 or 0)
    assert module.sm_count == 2 * (die.sm_count or 0)


# Clusters and prices


@pytest.mark.parametrize("name", CLUSTERS)
def test_clusters_give_each_accelerator_a_plausible_network(name: str) -> None:
    spec = load_cluster(name)
    assert spec.accelerators_per_node in (1, 2, 4, 8, 16)
    share = spec.network_per_accelerator
    if name == "pcie-workstation":
        assert share is None
    else:
        assert share is not None
        assert 1e9 <= share <= 100e9


def test_network_of_a_node_is_counted_once() -> None:
    assert load_cluster("dgx-h100").network_per_accelerator == pytest.approx(50e9)
    assert load_cluster("aws-p5").network_per_accelerator == pytest.approx(50e9), (
        "32 cards of 100 Gb/s for eight"
    )
    assert load_cluster("aws-p4d").network_per_accelerator == pytest.approx(6.25e9)
    assert load_cluster("gcp-a3-high").network_per_accelerator == pytest.approx(12.5e9)


@pytest.mark.parametrize("name", PRICES)
def test_prices_are_per_accelerator_hour_and_name_known_accelerators(name: str) -> None:
    for entry in load_price_book(name).prices:
        assert entry.accelerator in ACCELERATORS, "prices name ids, not aliases"
        assert entry.date, "there is no price without a date"
        if entry.terms == "purchase":
            assert entry.price.per == "GPU"
            assert 500 <= entry.price.usd <= 100_000
        else:
            assert entry.price.per == "GPU-hour"
            assert 0.05 <= entry.price.usd <= 25, "a price per machine would be eight times as high"


@pytest.mark.parametrize("name", PRICES)
def test_spot_is_not_above_on_demand_unless_the_file_says_so(name: str) -> None:
    entries = load_price_book(name).prices
    for spot in (entry for entry in entries if entry.terms == "spot" and "above" not in (entry.notes or "")):
        same = [
            entry.price.usd
            for entry in entries
            if entry.terms == "on_demand"
            and (entry.accelerator, entry.instance, entry.region, entry.source)
            == (spot.accelerator, spot.instance, spot.region, spot.source)
        ]
        assert all(spot.price.usd <= usd for usd in same)


def test_the_common_accelerators_have_prices_from_several_providers() -> None:
    sellers: dict[str, set[str]] = {}
    for name in PRICES:
        for entry in load_price_book(name).prices:
            if entry.terms == "on_demand":
                sellers.setdefault(entry.accelerator, set()).add(name)
    expected = {"h100-sxm-80gb": 8, "a100-sxm-80gb": 5, "h200-sxm-141gb": 5, "b200-sxm-180gb": 4}
    for accelerator, at_least in expected.items():
        assert len(sellers[accelerator]) >= at_least, f"{accelerator}: {sellers[accelerator]}"


# The documentation


def yaml_blocks() -> list[str]:
    """YAML examples of the page on hardware."""
    page = (ROOT.parent / "docs" / "hardware.md").read_text(encoding="utf-8")
    return [part.split("```")[0] for part in page.split("```yaml\n")[1:]]


def test_the_examples_of_the_documentation_load(tmp_path: Path) -> None:
    loaded = []
    for number, block in enumerate(yaml_blocks()):
        path = tmp_path / f"example-{number}.yaml"
        path.write_text(block, encoding="utf-8")
        loaded.append(load_accelerator(str(path)))
    datasheet, variant = loaded
    assert datasheet.link is not None
    assert datasheet.link.one_way == pytest.approx(400e9), "800 GB/s in both directions"
    assert variant.tdp == pytest.approx(500)
    assert variant.peak_flops.bf16 == load_accelerator("H100").peak_flops.bf16


def test_the_example_fits_on_ten_lines() -> None:
    lines = [line for line in yaml_blocks()[0].splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) == 10


def test_the_names_that_the_page_explains_resolve_as_it_says() -> None:
    page = (ROOT.parent / "docs" / "hardware.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `") and line.count("`") >= 4]
    explained = {
        name: cells[2].strip().strip("`")
        for cells in rows
        if cells[2].strip().strip("`") in ACCELERATORS
        for name in cells[1].replace("`", "").strip().split(", ")
    }
    assert len(explained) >= 8
    assert {name: load_accelerator(name).id for name in explained} == explained
