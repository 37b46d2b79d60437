"""Memory: published activation tables, state bytes, guarantees, advice, and accuracy on measured runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import memory
from simulator.errors import SpecError
from simulator.layout import Layout
from simulator.memory import CATEGORIES, KORTHIKANTI, MEMORY_PROFILES, OPTIMIZERS, PRECISIONS, peak
from simulator.memory.activations import inflight_microbatches, layer_bytes
from simulator.memory.held import hold, layers_on_stage
from simulator.memory_fit import FITTED, fit_memory
from simulator.transformer import Shape, active_parameters, decoder, parameters
from simulator.validate.memory import predict, read_rows, validate_memory

GIB = 2.0**30
MEASURED = Path(__file__).parents[1] / "measurements" / "memory.csv"

LLAMA = decoder(
    num_hidden_layers=32, hidden_size=4096, intermediate_size=11008, num_attention_heads=32, vocab_size=32000
)
ONE_LAYER = decoder(
    num_hidden_layers=1, hidden_size=512, num_attention_heads=8, intermediate_size=2048, vocab_size=1000
)
MIXTRAL = decoder(
    num_hidden_layers=32,
    hidden_size=4096,
    intermediate_size=14336,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=32000,
    num_experts=8,
    num_experts_per_tok=2,
    moe_intermediate_size=14336,
)
DEEPSEEK = decoder(
    num_hidden_layers=60,
    hidden_size=5120,
    intermediate_size=12288,
    num_attention_heads=128,
    head_dim=128,
    vocab_size=102400,
    num_experts=160,
    num_experts_per_tok=6,
    moe_intermediate_size=1536,
    shared_expert_intermediate_size=3072,
    first_k_dense_replace=1,
    q_lora_rank=1536,
    kv_lora_rank=512,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
)

# Korthikanti et al., arXiv:2205.05198, tables 1 and 3: activations of the first stage, GiB.
PUBLISHED = [
    ("22B", 48, 6144, 64, 1, 1, 4, 59.25, 9.5625),
    ("175B", 96, 12288, 96, 8, 3, 1, 66.84, 12.35),
    ("530B", 105, 20480, 128, 35, 3, 1, 114.02, 23.08),
    ("1T", 128, 25600, 160, 64, 1, 1, 131.25, 26.56),
]


@pytest.mark.parametrize(
    ("name", "layers", "width", "heads", "pp", "vp", "micro", "none", "selective"), PUBLISHED
)
def test_activations_of_korthikanti(name, layers, width, heads, pp, vp, micro, none, selective):
    model = decoder(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=heads, vocab_size=51200, gated=0
    )
    plain = Layout(
        tp=8, pp=pp, vp=vp, micro_batch_size=micro, num_microbatches=512, seq_length=2048, flash_attention=0
    )
    lean = plain.with_(sequence_parallel=1, recompute=1)
    on_stage = layers / pp * inflight_microbatches(plain)
    exact = 1e-9 if name == "22B" else 6e-4  # the others are printed to two decimals
    assert on_stage * layer_bytes(model, plain, constants=KORTHIKANTI) / GIB == pytest.approx(none, rel=exact)
    assert on_stage * layer_bytes(model, lean, constants=KORTHIKANTI) / GIB == pytest.approx(
        selective, rel=exact
    )
    full = layer_bytes(model, plain.with_(recompute=2), constants=KORTHIKANTI)
    assert float(full) == 2 * 2048 * micro * width


def test_flash_attention_keeps_no_scores():
    plain = Layout(flash_attention=0, seq_length=8192)
    saved = layer_bytes(LLAMA, plain, constants=KORTHIKANTI) - layer_bytes(
        LLAMA, plain.with_(flash_attention=1), constants=KORTHIKANTI
    )
    assert saved == pytest.approx(8192 * 32 * (5 * 8192 - 4))


def test_gated_block_by_hand():
    # s (8 h + 2 (3 h + h) + 2 (2 f + f) + 4 heads): norms, attention, gate, up and product, log-sum-exp
    expected = 4096 * (8 * 4096 + 8 * 4096 + 6 * 11008 + 4 * 32)
    assert float(layer_bytes(LLAMA, Layout(), constants=MEMORY_PROFILES["megatron"])) == expected


@pytest.mark.parametrize(
    ("profile", "layout", "bytes_per_parameter"),
    [
        ("megatron", Layout(), 18.0),
        ("megatron", Layout(dp=4, zero_stage=1), 6 + 12 / 4),
        ("megatron", Layout(dp=4, zero_stage=0), 18.0),
        ("deepspeed", Layout(dp=8, zero_stage=0), 16.0),
        ("deepspeed", Layout(dp=64, zero_stage=1), 4 + 12 / 64),
        ("deepspeed", Layout(dp=64, zero_stage=2), 2 + 14 / 64),
        ("deepspeed", Layout(dp=64, zero_stage=3), 16 / 64),
        ("fsdp", Layout(dp=8, zero_stage=3), 16 / 8),
        ("nanotron", Layout(dp=1), 18.0),
        ("nanotron", Layout(dp=8), 20.0),
        ("nanotron", Layout(dp=8, zero_stage=1), 8 + 12 / 8),
    ],
)
def test_state_bytes_as_published(profile, layout, bytes_per_parameter):
    out = peak(LLAMA, layout, constants=MEMORY_PROFILES[profile])
    states = out["weights"] + out["gradients"] + out["optimizer"]
    assert float(states / parameters(LLAMA)) == pytest.approx(bytes_per_parameter, rel=1e-9)


def test_optimizers_against_adamw():
    def optimizer_bytes(name, precision="bf16"):
        return float(
            peak(LLAMA, Layout(), optimizer=name, precision=precision)["optimizer"] / parameters(LLAMA)
        )

    assert optimizer_bytes("adamw") == pytest.approx(12)
    assert optimizer_bytes("adamw_bf16") == pytest.approx(8)
    assert optimizer_bytes("adamw_8bit") == pytest.approx(4 + 2.03125)
    assert optimizer_bytes("sgd") == pytest.approx(4)
    assert optimizer_bytes("sgd", "bf16_pure") == 0
    assert optimizer_bytes("adamw", "fp32") == pytest.approx(8)
    assert 4 < optimizer_bytes("adafactor") < 4.01
    assert 8 < optimizer_bytes("muon") < 8.2  # embeddings and head keep both moments


def test_every_row_of_the_tables_has_a_source():
    for table in (OPTIMIZERS, PRECISIONS, MEMORY_PROFILES):
        for name, row in table.items():
            assert len(row.source) > 5, name


def test_lora_trains_little():
    full, lora = peak(LLAMA, Layout()), peak(LLAMA, Layout(), trainable="lora", lora_rank=16)
    # rank 16 on all seven projections of Llama-2 7B: 39,976,960 parameters, as PEFT prints
    adapters = 39_976_960
    assert float(lora["gradients"]) == 4 * adapters
    assert float(lora["optimizer"]) == 12 * adapters
    assert float(lora["weights"] - full["weights"]) == 2 * adapters


def test_experts_are_sharded_over_their_own_group():
    shared = Layout(tp=1, dp=8, ep=8, zero_stage=1)
    held = hold(MIXTRAL, shared, stage="first")
    assert float(held.experts) == 32 * 3 * 4096 * 14336  # one expert of eight per layer
    out = peak(MIXTRAL, shared)
    # the experts' group has one rank, so their optimizer states are not sharded at all
    assert float(out["optimizer"]) == pytest.approx(
        12 * (float(held.experts) + float(held.matrix + held.other) / 8)
    )
    whole = hold(MIXTRAL, Layout(), stage="first")
    assert float(whole.parameters) == float(parameters(MIXTRAL))


def test_experts_that_no_other_rank_holds_are_not_gathered():
    """With as many expert-parallel ranks as data-parallel ones sharding has nothing to gather of the experts."""
    one = Layout(dp=8, ep=8, zero_stage=3, recompute=2, seq_length=512)
    mixture = MIXTRAL.with_(vocab_size=1000)
    experts, dense = peak(mixture, one), peak(mixture.with_(moe_intermediate_size=1), one)
    assert float(experts["gathered"]) == pytest.approx(float(dense["gathered"]), rel=1e-3)
    shared = peak(mixture, one.with_(ep=4))
    assert float(shared["gathered"]) > 2 * float(experts["gathered"])


def test_whole_model_on_one_device_has_all_parameters():
    for model in (LLAMA, MIXTRAL, DEEPSEEK):
        assert float(hold(model, Layout(), stage="first").parameters) == float(parameters(model))
    assert active_parameters(DEEPSEEK) < parameters(DEEPSEEK)


def test_tied_embedding_has_a_copy_at_both_ends():
    tied = LLAMA.with_(tie_word_embeddings=1, final_norm=0)
    table = 32000 * 4096
    for stage, count in (("first", 1), ("middle", 0), ("last", 1)):
        assert float(hold(tied, Layout(pp=4), stage=stage).other) == count * table
    assert float(hold(tied, Layout(), stage="first").other) == table


def test_first_stage_keeps_most_microbatches():
    one = Layout(pp=8, num_microbatches=64)
    assert [int(inflight_microbatches(one, stage=i)) for i in range(8)] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert float(inflight_microbatches(one.with_(num_microbatches=3))) == 3
    assert float(inflight_microbatches(one.with_(schedule=0))) == 64
    assert float(inflight_microbatches(one.with_(schedule=3))) == 1
    assert float(inflight_microbatches(one.with_(vp=4))) == 8 + 7 / 4


def test_nanotron_deals_layers_by_cost():
    model = decoder(
        num_hidden_layers=32,
        hidden_size=4096,
        intermediate_size=14336,
        num_attention_heads=32,
        vocab_size=131072,
    )
    # the head costs 2.2 layers: 34.2 / 2 = 17.1, so the first stage takes 18
    assert float(layers_on_stage(model, Layout(pp=2), stage="first", balance=1)) == 18
    assert float(layers_on_stage(model, Layout(pp=2), stage="last", balance=1)) == 14
    assert float(layers_on_stage(model, Layout(pp=2), stage="first")) == 16


powers = st.sampled_from([1, 2, 4, 8])
layout_strategy = st.builds(
    Layout,
    tp=powers,
    pp=powers,
    dp=powers,
    cp=st.sampled_from([1, 2]),
    ep=st.just(1),
    vp=st.sampled_from([1, 2]),
    micro_batch_size=st.integers(1, 16),
    num_microbatches=st.integers(1, 64),
    seq_length=st.sampled_from([512, 4096, 32768]),
    zero_stage=st.integers(0, 3),
    sequence_parallel=st.integers(0, 1),
    recompute=st.integers(0, 2),
    flash_attention=st.integers(0, 1),
    schedule=st.integers(0, 3),
)
shapes = st.sampled_from([LLAMA, MIXTRAL, DEEPSEEK])
profiles = st.sampled_from(sorted(MEMORY_PROFILES)).map(MEMORY_PROFILES.__getitem__)


@settings(max_examples=150, deadline=None)
@given(
    shapes,
    layout_strategy,
    profiles,
    st.sampled_from(sorted(OPTIMIZERS)),
    st.sampled_from(sorted(PRECISIONS)),
)
def test_categories_sum_to_the_total(shape, layout, constants, optimizer, precision):
    out = peak(shape, layout, optimizer=optimizer, precision=precision, constants=constants)
    assert set(out) == {*CATEGORIES, "total"}
    assert float(out["total"]) == pytest.approx(sum(float(out[c]) for c in CATEGORIES), rel=1e-12)
    assert all(float(out[c]) >= 0 for c in CATEGORIES)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([LLAMA, MIXTRAL, DEEPSEEK, ONE_LAYER]),
    layout_strategy,
    profiles,
    st.sampled_from(sorted(OPTIMIZERS)),
    st.sampled_from(sorted(PRECISIONS)),
    st.fixed_dictionaries(
        {
            "ep": powers,
            "seq_length": st.sampled_from([1, 128, 4096]),
            "frozen": st.integers(0, 1),
            "autocast": st.integers(0, 1),
            "shard_group": st.sampled_from([0, 2]),
        }
    ),
)
def test_zero_only_shrinks(shape, layout, constants, optimizer, precision, changes):
    """In every profile, with few tokens, one layer and frozen weights too; where weights are gathered into a copy with AdamW alone."""
    if constants.optimizer_gather_bytes:
        optimizer = "adamw"
    stages = layout.with_(zero_stage=np.arange(4), **changes)
    how = {"optimizer": optimizer, "precision": precision, "lora_rank": 16 * changes["frozen"]}
    totals = peak(shape, stages, constants=constants, **how)["total"]
    assert np.all(np.diff(totals) <= 1e-9 * totals[0])


@pytest.mark.parametrize("profile", ["nanotron", "nanotron_unrepaired"])
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_a_copy_of_updated_weights_is_all_that_sharding_can_cost(profile, optimizer):
    """nanotron gathers 2 + 2/D bytes; states of (D - 1)/D S bytes that it saves may be fewer where an optimizer keeps little."""
    stages = Layout(dp=2, seq_length=128, recompute=2, zero_stage=np.arange(2))
    whole, sharded = peak(LLAMA, stages, optimizer=optimizer, constants=MEMORY_PROFILES[profile])["total"]
    saved = (4.0 + OPTIMIZERS[optimizer].matrix) / 2
    params = float(parameters(LLAMA))
    assert sharded - whole <= params * max(0.0, 3.0 - saved)


def test_nor_are_they_after_an_update():
    """Updated where they are: under nanotron ZeRO-1 was once charged for a copy of them, and heavier than none by 13 %."""
    stages = Layout(dp=8, ep=8, seq_length=128, recompute=2, zero_stage=np.arange(2))
    whole, sharded = peak(MIXTRAL, stages, constants=MEMORY_PROFILES["nanotron"])["total"]
    assert sharded < whole


def test_sharding_was_never_measured_to_hold_more():
    rows = pd.read_csv(Path(__file__).parents[1] / "measurements" / "memory.csv")
    ran = rows[rows["status"] == "Success"]
    same = [
        "n_gpus",
        "n_layers",
        "d_model",
        "d_ff",
        "n_heads",
        "vocab",
        "seq_len",
        "micro_batch",
        "grad_accum",
    ]
    same += ["tp", "pp", "dp", "after_pp_fix"]
    pairs = ran[ran["zero_stage"] == 0].merge(ran[ran["zero_stage"] == 1], on=same, suffixes=("_0", "_1"))
    assert len(pairs) > 100
    assert (pairs["peak_alloc_gb_1"] < pairs["peak_alloc_gb_0"]).all()


@settings(max_examples=100, deadline=None)
@given(shapes, layout_strategy, profiles)
def test_more_recomputation_is_never_heavier(shape, layout, constants):
    totals = peak(shape, layout.with_(recompute=np.arange(3)), constants=constants)["total"]
    assert np.all(np.diff(totals) <= 1e-6 * totals[0])


@settings(max_examples=100, deadline=None)
@given(shapes, layout_strategy, profiles)
def test_larger_microbatches_and_sequences_are_never_lighter(shape, layout, constants):
    for name in ("micro_batch_size", "num_microbatches", "seq_length"):
        grown = layout.with_(**{name: getattr(layout, name) * np.array([1, 2, 3, 8])})
        assert np.all(np.diff(peak(shape, grown, constants=constants)["total"]) >= 0)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([LLAMA, MIXTRAL]), layout_strategy, profiles)
def test_gradients_and_optimizer_are_divided_by_tp_and_pp(shape, layout, constants):
    # norms are replicated over tp, embeddings stay at the ends of the pipeline
    matrices = replace(shape, norm_parameters=0, vocab_size=0, num_experts=0)
    even = constants.with_(stage_balance=0)
    base = layout.with_(tp=1, pp=1, ep=1, zero_stage=0)
    one = peak(matrices, base, constants=even)
    for tp, pp in ((2, 1), (1, 2), (4, 8)):
        split = peak(matrices, base.with_(tp=tp, pp=pp), constants=even)
        for name in ("weights", "gradients", "optimizer"):
            assert float(split[name]) == pytest.approx(float(one[name]) / (tp * pp), rel=1e-9)


def test_array_equals_scalar():
    rng = np.random.default_rng(0)
    n = 60
    fields = {
        "tp": 2 ** rng.integers(0, 4, n),
        "pp": 2 ** rng.integers(0, 4, n),
        "dp": 2 ** rng.integers(0, 4, n),
        "vp": rng.integers(1, 3, n),
        "micro_batch_size": rng.integers(1, 9, n),
        "num_microbatches": rng.integers(1, 65, n),
        "zero_stage": rng.integers(0, 4, n),
        "recompute": rng.integers(0, 3, n),
        "sequence_parallel": rng.integers(0, 2, n),
    }
    for shape in (LLAMA, DEEPSEEK):
        many = peak(shape, Layout(**fields))
        for i in range(n):
            one = peak(shape, Layout(**{k: int(v[i]) for k, v in fields.items()}))
            for c in (*CATEGORIES, "total"):
                assert float(one[c]) == pytest.approx(float(np.broadcast_to(many[c], (n,))[i]), rel=1e-12), c


def test_arrays_of_shapes_mix_dense_and_sparse():
    both = Shape(
        **{
            name: np.array([getattr(LLAMA, name), getattr(MIXTRAL, name)], dtype=float)
            for name in LLAMA.__dataclass_fields__
        }
    )
    layout = Layout(tp=2, dp=4, zero_stage=1, sequence_parallel=1, recompute=1)
    many = peak(both, layout)["total"]
    assert many[0] == pytest.approx(float(peak(LLAMA, layout)["total"]))
    assert many[1] == pytest.approx(float(peak(MIXTRAL, layout)["total"]))


def test_verdict_names_the_margin():
    assert memory.verdict(60e9, 80e9) == ("FITS", 20e9)
    assert memory.verdict(79e9, 80e9) == ("TIGHT", 1e9)
    assert memory.verdict(81e9, 80e9) == ("DOES NOT FIT", -1e9)
    names, _ = memory.verdict(np.array([60e9, 81e9]), 80e9)
    assert list(names) == ["FITS", "DOES NOT FIT"]


def test_largest_micro_batch_is_the_largest():
    layout = Layout(tp=2, dp=4, zero_stage=1, sequence_parallel=1)
    found = memory.largest_micro_batch(LLAMA, layout, capacity=80e9)
    assert found is not None
    size = found.layout.micro_batch_size
    assert float(peak(LLAMA, layout.with_(micro_batch_size=size))["total"]) <= 80e9
    assert float(peak(LLAMA, layout.with_(micro_batch_size=size + 1))["total"]) > 80e9
    assert memory.largest_micro_batch(LLAMA, Layout(), capacity=80e9) is None


def test_fewest_gpus_fits_and_half_does_not():
    found = memory.fewest_gpus(LLAMA, Layout(zero_stage=1), capacity=40e9)
    assert found is not None
    assert found.total <= 40e9
    gpus = found.layout.tp * found.layout.pp * found.layout.dp
    assert memory.fewest_gpus(LLAMA, Layout(zero_stage=1), capacity=40e9, largest=gpus // 2) is None
    assert memory.fewest_gpus(LLAMA, Layout(), capacity=1e9, largest=8) is None


@pytest.mark.parametrize(
    ("layout", "change"),
    [
        (Layout(dp=8), "zero_stage 0 -> 1"),
        (Layout(dp=8, zero_stage=1, micro_batch_size=4), "micro_batch_size 4 -> 1"),
        (Layout(tp=8, micro_batch_size=10), "sequence_parallel off -> on"),
        (Layout(dp=2, zero_stage=1), "tp 1 -> 2"),
    ],
)
def test_smallest_change(layout, change):
    found = memory.smallest_change(LLAMA, layout, capacity=80e9)
    assert found is not None
    assert found.change == change
    assert found.total <= 80e9 < float(peak(LLAMA, layout)["total"])


def test_tensor_parallelism_that_is_proposed_divides_the_heads_of_keys_too():
    """Five of them are not divided among four ranks, though forty heads are."""
    odd = LLAMA.with_(num_attention_heads=40, num_key_value_heads=5)
    found = memory.smallest_change(odd, Layout(seq_length=16384, recompute=2), capacity=40e9)
    assert found is not None
    assert found.layout.tp == 1
    assert {tp for tp, _, _ in memory.advice.splits(odd, gpus=8, gpus_per_node=8)} == {1}


@pytest.mark.parametrize("replicas", [1, 3, 6, 8])
def test_any_number_of_replicas_may_be_doubled(replicas):
    found = [each.dp for _, each in memory.advice.more_gpus(LLAMA, Layout(dp=replicas, zero_stage=1))]
    assert [dp for dp in found if dp > replicas] == [replicas * 2**k for k in range(1, 7)]


def test_splitting_and_sharding_together_come_before_more_accelerators():
    """Sixteen times the accelerators were named where the same ones are enough."""
    found = memory.smallest_change(LLAMA, Layout(dp=8, seq_length=8192), capacity=28e9, gpus_per_node=4)
    assert found.change.startswith("tp 1 -> ")
    assert found.change.endswith("zero_stage 0 -> 3")
    assert found.layout.tp * found.layout.dp == 8


def test_smallest_change_may_not_exist():
    assert memory.smallest_change(DEEPSEEK, Layout(), capacity=1e9) is None


def test_static_memory_of_measured_runs():
    rows = read_rows(MEASURED)
    ran = rows[rows["ran"]]
    error = predict(ran)["static"] / GIB / ran["peak_alloc_gb"].to_numpy(float) - 1
    assert np.median(np.abs(error)) < 0.02
    assert np.mean(np.abs(error)) < 0.03


def test_reserved_peaks_and_out_of_memory_outcomes():
    found = validate_memory(MEASURED)
    assert found["n"] == 982
    assert found["median_ape"] < 0.05
    assert found["mape"] < 0.08
    assert abs(found["bias"]) < 0.03
    assert found["fits"]["precision"] > 0.96
    assert found["fits"]["recall"] > 0.96


def test_shipped_constants_are_those_of_the_fit_and_hold_on_models_left_out():
    fit = fit_memory(MEASURED)
    shipped = {
        **vars(MEMORY_PROFILES["nanotron"]),
        "kept_gathers": MEMORY_PROFILES["nanotron_unrepaired"].kept_gathers,
    }
    for name in FITTED:
        assert shipped[name] == pytest.approx(fit["constants"][name], rel=2e-3), name
    assert fit["left_out"]["median_ape"] < 0.06
    assert fit["left_out"]["fits"]["precision"] > 0.95
    assert fit["left_out"]["fits"]["recall"] > 0.95


def test_measured_value_is_no_input():
    rows = read_rows(MEASURED).head(50)
    before = predict(rows)
    rows["peak_reserved_gb"], rows["peak_alloc_gb"], rows["status"], rows["ran"] = 1.0, 1.0, "OOM", False
    after = predict(rows)
    for name in ("static", "reserved", "total"):
        assert np.array_equal(before[name], after[name])


def test_blanks_get_the_usual_setting(tmp_path):
    table = tmp_path / "rows.csv"
    text = MEASURED.read_text(encoding="utf-8").splitlines()
    keep = [
        c
        for c in text[0].split(",")
        if c not in {"n_kv_heads", "grad_accum", "after_pp_fix", "tied_embeddings"}
    ]
    import pandas as pd

    pd.read_csv(MEASURED, low_memory=False)[keep].head(20).to_csv(table, index=False)
    assert np.all(np.isfinite(predict(read_rows(table))["reserved"]))


def test_wrong_tables_are_one_clear_error(tmp_path):
    with pytest.raises(SpecError, match="no such file"):
        validate_memory(tmp_path / "absent.csv")
    table = tmp_path / "short.csv"
    table.write_text("gpu,tp\nH100,1\n", encoding="utf-8")
    with pytest.raises(SpecError, match="no column 'status'") as caught:
        validate_memory(table)
    assert "no column 'pp'" in str(caught.value)


def test_rows_that_cannot_be_judged_are_counted_and_every_other_is_shown(tmp_path):
    import pandas as pd

    rows = pd.read_csv(MEASURED, low_memory=False).head(6).astype(object)
    rows.loc[0, "status"] = "ok"
    rows.loc[1, "status"] = "weird"
    rows.loc[2, "gpu"] = "MyGPU"
    rows.loc[3, "n_layers"] = "x"
    rows.loc[4, "peak_reserved_gb"] = -5
    table = tmp_path / "rows.csv"
    rows.to_csv(table, index=False)
    found = validate_memory(table)
    assert found["skipped"] == {
        "status not known: weird": 1,
        "accelerator not known: MyGPU": 1,
        "n_layers: no number that can be meant": 1,
    }
    assert found["n_skipped"] == 3
    assert found["n"] == 2  # one without a peak that can be meant still says that it ran
    assert [row["id"] for row in found["rows"]] == list(rows.loc[[0, 4, 5], "id"])
    assert found["rows"][1]["measured_reserved_gib"] is None
    assert all(
        row["predicted_fits"] == (row["predicted_total_gib"] <= row["capacity_gib"]) for row in found["rows"]
    )
    assert np.isfinite(found["mape"])


def test_empty_cells_are_a_reason_and_a_table_without_a_row_is_one_error(tmp_path):
    import pandas as pd

    rows = pd.read_csv(MEASURED, low_memory=False).head(3).astype(object)
    rows.loc[0, "status"] = None
    rows.loc[1, "gpu"] = None
    table = tmp_path / "rows.csv"
    rows.to_csv(table, index=False)
    assert validate_memory(table)["skipped"] == {"status not stated": 1, "gpu not stated": 1}
    rows.head(2).to_csv(table, index=False)
    with pytest.raises(SpecError, match="no row can be judged") as caught:
        validate_memory(table)
    assert "status not stated" in str(caught.value)
