"""What a published row leaves open is filled as its framework's recipes do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator import calibrations, library
from simulator.layout import Layout
from simulator.validate import cases as tables
from simulator.validate.intervals import step_times
from simulator.validate.machines import slices_of
from simulator.validate.profiles import PROFILES, USUAL
from simulator.validate.rows import usual_precision

NVIDIA_ROW = "nemo-0001"
"""A dense model on H100s."""

TABLE = pd.read_csv(library.find("measurements", "throughput"), low_memory=False).set_index("id", drop=False)


def layout_of(name: str, **changes: object) -> Layout:
    """Layout that a row is read as, after some of its cells were changed."""
    row = TABLE.loc[name].copy()
    for key, value in changes.items():
        row[key] = value
    return tables.of_frame(pd.DataFrame([row])).layout


def test_weights_are_cast_where_the_program_that_made_the_row_does_so() -> None:
    assert layout_of("languini-0140").autocast[0] == 1.0
    assert layout_of("languini-0140", precision="fp32", measured_value=100.0).autocast[0] == 0.0
    assert layout_of("megatron-h100-0004").autocast[0] == 0.0


def test_sixteen_bit_states_are_those_of_the_program_that_made_the_row() -> None:
    """A 7B model with 32-bit states does not fit on the one H100 of this row."""
    assert layout_of("thunder-0001").update_share[0] == pytest.approx(14 / 30)
    assert layout_of("languini-0140").update_share[0] == 1.0


def test_the_page_lists_the_settings_of_every_framework() -> None:
    page = (Path(__file__).parents[1] / "docs" / "validation.md").read_text(encoding="utf-8")
    for word, each in {**PROFILES, "anything else": USUAL}.items():
        cells = next(line for line in page.splitlines() if line.startswith(f"| {word} |")).split(" | ")
        assert cells[1] == each.software
        assert (cells[2] == "flash", cells[3] == "yes") == (
            bool(each.flash_attention),
            bool(each.sequence_parallel),
        )
        assert (int(cells[4]), cells[5]) == (each.zero_stage, each.recompute)
        assert ("autocast" in cells[6], "states too" in cells[6]) == (
            bool(each.autocast),
            each.states[0] == "bf16_pure",
        )
        assert cells[7] == ("yes |" if each.compiled else "no |")


def stack_of(name: str, without: tuple[str, ...] = ()) -> str:
    """Set of software constants that a row takes, after some of its columns were dropped."""
    cases = tables.of_frame(pd.DataFrame([TABLE.loc[name].drop(list(without))]))
    return str(cases.keys[0]["launch_s"][0])


def test_a_paper_dates_a_megatron_that_states_no_version() -> None:
    assert stack_of("megatron21-0007") == "megatron-2021"  # arXiv:2104.04473
    assert stack_of("korthikanti-0003") == "megatron"  # arXiv:2205.05198, sequence parallelism
    assert stack_of("korthikanti-0003", without=("source_ref",)) == "megatron-2021"
    assert layout_of("korthikanti-0003").flash_attention[0] == 0.0
    assert stack_of("korthikanti-0003", without=("framework",)) == "megatron"  # unknown: a current stack


def test_megatron_interleaves_unless_a_row_says_otherwise() -> None:
    """Of the rows of current Megatron stacks that print virtual stages, 19 in 20 have more than one."""
    current = TABLE.framework.fillna("").str.contains("NeMo|Megatron-Bridge|Megatron-Core")
    stated = TABLE[(TABLE.pp > 1) & TABLE.vpp.notna() & current]
    assert len(stated) > 150
    assert (stated.vpp > 1).mean() > 0.95
    assert layout_of("megatron-h100-0008").vp[0] == 6.0  # 96 layers, 8 stages, 2 layers each
    assert layout_of("megatron-h100-0008", vpp=1.0).vp[0] == 1.0
    assert layout_of("megatron-h100-0004").vp[0] == 1.0  # no pipeline
    assert layout_of("bigsci-0003", vpp=None).vp[0] == 1.0  # Megatron-DeepSpeed has no interleaving


def test_a_run_without_a_pipeline_fills_its_memory() -> None:
    assert layout_of("megatron-h100-0004").micro_batch_size[0] == 4.0
    assert layout_of("megatron-h100-0004").num_microbatches[0] == 1.0
    assert (
        layout_of("megatron-h100-0008").micro_batch_size[0] == 1.0
    )  # a pipeline takes one sequence at a time
    assert layout_of("megatron-h100-0004", gpu="B200-SXM-180GB").micro_batch_size[0] >= 4.0
    assert layout_of("megatron-h100-0004", micro_batch=2.0).micro_batch_size[0] == 2.0
    assert layout_of("megatron-h100-0004", grad_accum=4.0).micro_batch_size[0] == 1.0


def test_the_usual_micro_batch_is_nearer_to_the_stated_one_than_one_sequence() -> None:
    """On the rows of llm-foundry, which print theirs."""
    rows = TABLE[TABLE.source_group == "MosaicML"]
    read = tables.of_frame(rows.assign(micro_batch=None, grad_accum=None))
    stated = tables.of_frame(rows).layout.micro_batch_size
    off = [np.abs(np.log2(each / stated)).mean() for each in (read.layout.micro_batch_size, 1.0)]
    assert off[0] < 0.75 < 2.0 < off[1]


@pytest.mark.parametrize("name", ["nemo-0101", "nemo-0099"])
def test_fewer_sequences_than_accelerators_and_none_split_is_a_pipeline(name: str) -> None:
    """NVIDIA's baseline without context parallelism: 4 sequences of a million tokens on 1,024 accelerators."""
    layout = layout_of(name)
    assert layout.cp[0] == 1.0
    assert layout.tp[0] == 8.0
    assert layout.pp[0] > 1.0
    assert layout.tp[0] * layout.pp[0] * layout.dp[0] == TABLE.loc[name].n_gpus


# --- runs that no clock describes, and precisions that go without saying ----------------------------------------------


@pytest.mark.parametrize(
    ("notes", "reason"),
    [
        ("CPU offload of optimizer/params in use", "states offloaded to the host"),
        ("all-reduce probe 45.14 GB/s world, 45.98 GB/s in node", "its own probe, taken before training"),
    ],
)
def test_runs_that_no_clock_describes_are_skipped_with_the_reason(notes: str, reason: str) -> None:
    frame = TABLE.head(2).copy()
    frame.loc[frame.index[1], "notes"] = notes
    cases = tables.of_frame(frame)
    assert len(cases) == 1
    assert [text for text in cases.skipped if text.startswith(reason)]


@pytest.mark.parametrize(
    ("source", "gpu", "framework", "precision"),
    [
        ("MLPerf Training v4.0 (Google)", "TPU v5p", "maxtext", "int8"),
        ("MLPerf Training v5.0 (Dell)", "GB200", "NVIDIA Nemo 25.04", "fp8"),
        ("MLPerf Training v4.0 (Juniper)", "H100-SXM-80GB", "NGC PyTorch Release 24.01 Deepspeed N1", "bf16"),
        ("MaxText/TPU recipes", "TPU v5p", "MaxText (JAX/XLA)", "bf16"),
    ],
)
def test_usual_precision(source: str, gpu: str, framework: str, precision: str) -> None:
    row = {"source": source, "source_group": "", "gpu": gpu, "framework": framework}
    assert usual_precision(row) == precision


def test_layouts_of_submissions_are_those_of_their_scripts() -> None:
    """github:mlcommons/training_results_v4.0@62f111b Google/benchmarks/gpt3/implementations/maxtext/v5p-1024.sh and v5p-2048.sh."""
    rows = TABLE.loc[["mlperf-0023", "mlperf-0025"]]
    cases = tables.of_frame(rows)
    assert list(cases.layout.tp) == [8, 8]
    assert list(cases.layout.micro_batch_size) == [
        32,
        16,
    ]  # per_device_batch_size 4 and 2, times tensor parallelism
    assert list(cases.layout.recompute) == [2, 0]
    assert list(cases.device.operand_bytes) == [1, 1]


@pytest.mark.parametrize(
    ("gpu", "tp"),
    [("H100-SXM-80GB", 4), ("H200-SXM-141GB", 2), ("B200-SXM-180GB", 1), ("GB200", 1), ("MI300X", 1)],
)
def test_adapters_whose_layout_is_not_stated_take_that_of_submissions(gpu: str, tp: int) -> None:
    """NVIDIA's and AMD's scripts for Llama 2 70B LoRA: config_DGXH100_1x8x4xtp4pp1cp1, config_DGXB200_1x8x1xtp1pp1cp1."""
    frame = TABLE
    lora = frame.model_name.astype(str).str.contains("LoRA fine-tune") & frame.tp.isna() & (frame.gpu == gpu)
    cases = tables.of_frame(frame[lora & ~frame.framework.astype(str).str.contains("Deepspeed")])
    assert set(np.asarray(cases.layout.tp)) == {tp}


def test_slices_of_tpus_hold_a_copy_each_and_meet_over_the_network() -> None:
    """github:AI-Hypercomputer/maxtext MaxText/configs/v5e/32b.sh: global_parameter_scale 32, two slices of 256."""
    cases = tables.of_frame(TABLE.loc[["tpu-0012"]])
    assert list(cases.layout.dp) == [512]
    assert list(cases.layout.shard_group) == [256]
    assert list(cases.device.link_domain) == [256]
    assert list(cases.shape.head_dim) == [128]
    assert (slices_of("2 slice(s) of v5e-256; MFU 56 %"), slices_of("")) == (2.0, 1.0)


def test_maxtext_recomputes_what_its_recipes_say() -> None:
    """github:AI-Hypercomputer/tpu-recipes training: queries, keys and values of Llama 3.1 8B are kept, of 405B only inputs of layers."""
    cases = tables.of_frame(TABLE.loc[["tpu-0080", "tpu-0074", "tpu-0086"]])
    assert list(cases.layout.recompute) == [1, 2, 1]
    assert list(cases.layout.ep) == [1, 1, 4]
    assert list(cases.layout.micro_batch_size) == [3, 1, 8]
    assert all(cases.complete)
    share = calibrations.shipped_values()["maxtext", "selective_share"]
    kept = (
        2.5 / 13 + 10.5 / 13 / 3
    )  # of Llama 3.1 8B: attention's projections and the last matmul, in squares of the width
    assert share == pytest.approx(1 - kept, abs=0.03)


def test_vtrain_rows_of_one_node_are_sums_of_few_measured_layers() -> None:
    """Steps on a machine scatter; these obey ``m (L a + b) + L c + d``, with the same ``a`` for every pipeline."""
    rows = pd.read_csv(library.find("measurements", "throughput"), low_memory=False)
    rows = rows[(rows["source"] == "vTrain") & (rows["n_gpus"] <= 8)]
    micro_batches = rows["global_batch_seqs"] / (rows["dp"] * rows["micro_batch"])
    layers, measured = rows["n_layers"], rows["measured_value"]
    terms = np.stack([micro_batches * layers, micro_batches, layers, layers * 0.0 + 1.0], axis=1)
    rows = rows.assign(**{str(i): terms[:, i] / measured for i in range(4)})
    misses, per_layer = [], {}
    for (width, tp, size, pp, _), group in rows.groupby(["d_model", "tp", "micro_batch", "pp", "dp"]):
        system = group[["0", "1", "2", "3"]].to_numpy()
        if len(group) < 6 or np.linalg.matrix_rank(system) < 4:
            continue
        found = np.linalg.lstsq(system, np.ones(len(group)), rcond=None)[0]
        misses.append(np.abs(system @ found - 1.0).max())
        per_layer.setdefault((width, tp, size), []).append(found[0] * pp)
    assert len(misses) == 102
    assert np.median(misses) < 1e-5
    assert np.mean(np.array(misses) < 1e-3) > 0.9
    assert max(misses) < 0.01
    assert len(per_layer) == 24
    assert max(np.ptp(found) / np.mean(found) for found in per_layer.values()) < 1e-3


def read_with(name: str, **changes: object) -> tables.Cases:
    """A row after some of its cells were changed."""
    row = TABLE.loc[name].copy()
    for key, value in changes.items():
        row[key] = value
    return tables.of_frame(pd.DataFrame([row]))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("precision", "xyz"),
        ("precision", "int4"),
        ("precision", "bf16+fp8"),
        ("act_ckpt", "sometimes"),
        ("flash_attn", "perhaps"),
        ("compile", "maybe"),
        ("measured_quantity", "furlongs"),
        ("n_gpus", "1,024"),
    ],
)
def test_a_word_that_nobody_knows_is_a_reason_and_not_a_guess(column: str, value: str) -> None:
    found = read_with("megatron-h100-0004", **{column: value})
    assert len(found) == 0
    assert any(value in reason for reason in found.skipped)


def test_a_format_that_the_part_does_not_have_is_a_reason() -> None:
    assert read_with("mosaic-0001", gpu="A100-SXM-80GB", precision="fp8").skipped == {
        "a100-sxm-80gb has no fp8": 1
    }


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (
            "precision",
            ("fp8", "FP8 ", "float8", "e4m3", "fp8-cs", "mxfp8", "FP8 (delayed scaling)", "fp8_tensorwise"),
        ),
        ("act_ckpt", ("full", " Full", "True", "yes", 1, "uniform", "block")),
        ("act_ckpt", ("none", "no", "False", 0.0)),
        ("flash_attn", (True, "Y", "on", "FA3", "flash")),
        ("gpu", ("H100-SXM-80GB", "h100-sxm-80gb", "H100")),
        ("measured_quantity", ("step_time_s", "Step_time_s ")),
    ],
)
def test_usual_spellings_mean_the_same(column: str, words: tuple[object, ...]) -> None:
    steps = [float(step_times(read_with(NVIDIA_ROW, **{column: word}))[0]) for word in words]
    assert np.ptp(steps) == 0.0


@pytest.mark.parametrize(("value", "same_as"), [("-", ""), ("?", ""), ("unknown", ""), ("N/A", "")])
def test_what_says_nothing_is_an_empty_cell(value: str, same_as: str) -> None:
    columns = ("act_ckpt", "flash_attn", "precision", "vpp", "micro_batch")
    said, empty = (read_with(NVIDIA_ROW, **dict.fromkeys(columns, each)) for each in (value, same_as))
    assert float(step_times(said)[0]) == float(step_times(empty)[0])


@pytest.mark.parametrize(
    ("name", "frozen"), [("Llama-2-7B LoRA", 1), ("Llama2_70B-qlora", 1), ("Explorama", 0), ("Flora-7B", 0)]
)
def test_adapters_are_named_by_the_word(name: str, frozen: int) -> None:
    assert layout_of(NVIDIA_ROW, model_name=name).frozen[0] == frozen


@pytest.mark.parametrize(
    "notes", ["no offload", "without offloading", "cpu_offload=False", "offload: none", "not offloaded"]
)
def test_notes_that_deny_offloading_do_not_skip_a_row(notes: str) -> None:
    assert len(read_with(NVIDIA_ROW, notes=notes)) == 1


@pytest.mark.parametrize("gpu", ["TPU v5p", "tpu-v5p", "tpu v5p", "v5p"])
def test_the_usual_precision_does_not_depend_on_how_a_part_is_spelled(gpu: str) -> None:
    row = {"source": "MLPerf Training v4.0 (Google)", "source_group": "", "gpu": gpu, "framework": "maxtext"}
    assert usual_precision(row) == "int8"


def test_maxtext_on_tpus_repeats_everything_where_activations_would_not_fit() -> None:
    """Its default, ``remat_policy: 'full'``; rows as their sources print them state nothing."""
    assert layout_of("tpu-0058", act_ckpt=None).recompute[0] == 2
    assert layout_of("jaxtoolbox-0001", act_ckpt=None).recompute[0] == 0
    cases = tables.of_frame(TABLE[TABLE["source_group"] == "Google"].assign(act_ckpt=None))
    assert np.mean(np.abs(step_times(cases) / cases.measured_s - 1)) < 0.16
