"""Growing checkpoints on disk, with numpy alone: random models of every family, written here, grown, compared."""

from __future__ import annotations

import errno
import json
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator import transformer
from simulator.cli import main
from simulator.errors import InfeasibleError, SpecError
from simulator.growth import operators, reference
from simulator.growth import weights as w
from simulator.growth.checkpoint import FAMILIES, How, grow
from simulator.growth.checkpoint import plan as plan_module
from simulator.growth.checkpoint import writing as writing_module
from simulator.growth.checkpoint.families import read_model
from simulator.growth.checkpoint.forward import Forward
from simulator.growth.checkpoint.tensorfile import Source, from_float, read_header, save, to_float
from simulator.growth.checkpoint.writing import read_entries
from simulator.importers.huggingface import read_config

LAYERS, HEADS, HEAD_DIM, FFN, VOCAB, POSITIONS = 3, 4, 6, 40, 61, 32
HIDDEN = HEADS * HEAD_DIM
IDS = np.random.default_rng(1).integers(0, VOCAB, 13)

# --- random checkpoints ---------------------------------------------------------------------------------------------


class Maker:
    """Random weights with scales that make every part matter."""

    def __init__(self, seed=3):
        self.rng, self.tensors = np.random.default_rng(seed), {}

    def linear(self, name, rows, columns, bias=False):
        self.tensors[f"{name}.weight"] = self.rng.standard_normal((rows, columns)) / np.sqrt(columns)
        if bias:
            self.tensors[f"{name}.bias"] = 0.3 * self.rng.standard_normal(rows)

    def norm(self, name, size=HIDDEN, bias=False):
        self.tensors[f"{name}.weight"] = 1 + 0.2 * self.rng.standard_normal(size)
        if bias:
            self.tensors[f"{name}.bias"] = 0.2 * self.rng.standard_normal(size)

    def embedding(self, name, rows=VOCAB, columns=HIDDEN):
        self.tensors[f"{name}.weight"] = 2 * self.rng.standard_normal((rows, columns))

    def arrays(self):
        return {k: v.astype(np.float32) for k, v in self.tensors.items()}


def config(kind, **more):
    common = {
        "model_type": kind,
        "architectures": ["whatever"],
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "vocab_size": VOCAB,
        "max_position_embeddings": POSITIONS,
        "torch_dtype": "float32",
        "an_unknown_key": [1, 2],
    }
    return common | {"ffn_dim" if kind == "opt" else "intermediate_size": FFN} | more


def llama(kind="llama", *, kv=HEADS, tied=False, bias=False, qk_norm="", norms=True, post=False, **more):
    m = Maker()
    m.embedding("model.embed_tokens")
    for i in range(LAYERS):
        layer = f"model.layers.{i}"
        m.linear(f"{layer}.self_attn.q_proj", HIDDEN, HIDDEN, bias)
        m.linear(f"{layer}.self_attn.k_proj", kv * HEAD_DIM, HIDDEN, bias)
        m.linear(f"{layer}.self_attn.v_proj", kv * HEAD_DIM, HIDDEN, bias)
        m.linear(f"{layer}.self_attn.o_proj", HIDDEN, HIDDEN)
        m.linear(f"{layer}.mlp.gate_proj", FFN, HIDDEN)
        m.linear(f"{layer}.mlp.up_proj", FFN, HIDDEN)
        m.linear(f"{layer}.mlp.down_proj", HIDDEN, FFN)
        if qk_norm:
            heads = (1, 1) if qk_norm == "head" else (HEADS, kv)
            m.norm(f"{layer}.self_attn.q_norm", heads[0] * HEAD_DIM)
            m.norm(f"{layer}.self_attn.k_norm", heads[1] * HEAD_DIM)
        if norms:
            m.norm(f"{layer}.{'post_feedforward_layernorm' if post else 'input_layernorm'}")
            m.norm(f"{layer}.post_attention_layernorm")
    if norms:
        m.norm("model.norm")
    if not tied:
        m.linear("lm_head", VOCAB, HIDDEN)
    numbers = config(kind, num_key_value_heads=kv, tie_word_embeddings=tied, **more)
    return numbers, m.arrays()


def neox(*, tied=False, buffers=False, **more):
    m = Maker()
    m.embedding("gpt_neox.embed_in")
    for i in range(LAYERS):
        layer = f"gpt_neox.layers.{i}"
        m.linear(f"{layer}.attention.query_key_value", 3 * HIDDEN, HIDDEN, True)
        m.linear(f"{layer}.attention.dense", HIDDEN, HIDDEN, True)
        m.linear(f"{layer}.mlp.dense_h_to_4h", FFN, HIDDEN, True)
        m.linear(f"{layer}.mlp.dense_4h_to_h", HIDDEN, FFN, True)
        m.norm(f"{layer}.input_layernorm", bias=True)
        m.norm(f"{layer}.post_attention_layernorm", bias=True)
    m.norm("gpt_neox.final_layer_norm", bias=True)
    if not tied:
        m.linear("embed_out", VOCAB, HIDDEN)
    arrays = m.arrays()
    for i in range(LAYERS if buffers else 0):
        arrays[f"gpt_neox.layers.{i}.attention.bias"] = np.tri(8, dtype=np.uint8)[None, None]
        arrays[f"gpt_neox.layers.{i}.attention.masked_bias"] = np.float32(-1e9).reshape(())
        arrays[f"gpt_neox.layers.{i}.attention.rotary_emb.inv_freq"] = np.ones(2, dtype=np.float32)
    return config("gpt_neox", tie_word_embeddings=tied, rotary_pct=0.7, **more), arrays


def opt(*, tied=True, before=True, narrow=HIDDEN, prefix="model.decoder", **more):
    m = Maker()
    m.embedding(f"{prefix}.embed_tokens", VOCAB, narrow)
    m.embedding(f"{prefix}.embed_positions", POSITIONS + 2)
    if narrow != HIDDEN:
        m.linear(f"{prefix}.project_in", HIDDEN, narrow)
        m.linear(f"{prefix}.project_out", narrow, HIDDEN)
    for i in range(LAYERS):
        layer = f"{prefix}.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            m.linear(f"{layer}.self_attn.{part}", HIDDEN, HIDDEN, True)
        m.linear(f"{layer}.fc1", FFN, HIDDEN, True)
        m.linear(f"{layer}.fc2", HIDDEN, FFN, True)
        m.norm(f"{layer}.self_attn_layer_norm", bias=True)
        m.norm(f"{layer}.final_layer_norm", bias=True)
    if before:
        m.norm(f"{prefix}.final_layer_norm", bias=True)
    if not tied:
        m.linear("lm_head", VOCAB, narrow)
    numbers = {"tie_word_embeddings": tied, "do_layer_norm_before": before, "word_embed_proj_dim": narrow}
    return config("opt", **numbers, **more), m.arrays()


MODELS = {
    "llama": llama,
    "llama tied": lambda: llama(tied=True),
    "llama gqa": lambda: llama(kv=2, rms_norm_eps=1e-5, rope_theta=1e6),
    "llama mqa tied": lambda: llama(kv=1, tied=True),
    "mistral": lambda: llama("mistral", kv=2, sliding_window=None, head_dim=HEAD_DIM),
    "qwen2": lambda: llama("qwen2", kv=2, bias=True, tied=True),
    "qwen3": lambda: llama("qwen3", kv=2, qk_norm="head", head_dim=HEAD_DIM, tied=True),
    "olmo": lambda: llama("olmo", norms=False, clip_qkv=0.8),
    "olmo tied": lambda: llama("olmo", norms=False, tied=True),
    "olmo2": lambda: llama("olmo2", kv=2, qk_norm="whole", post=True),
    "olmo2 mqa": lambda: llama("olmo2", kv=1, qk_norm="whole", post=True, tied=True),
    "gpt_neox": neox,
    "gpt_neox serial, buffers": lambda: neox(use_parallel_residual=False, buffers=True),
    "gpt_neox tied": lambda: neox(tied=True),
    "opt": opt,
    "opt untied": lambda: opt(tied=False),
    "opt old names": lambda: opt(prefix="decoder"),
    "opt narrow": lambda: opt(before=False, narrow=10),
    "opt narrow untied": lambda: opt(before=False, narrow=10, tied=False),
    "opt post-norm tied": lambda: opt(before=False),
}


def write(folder: Path, model, *, bfloat16=False, shards=1):
    numbers, arrays = model
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(numbers))
    (folder / "tokenizer.json").write_text("{}")
    if shards == 1:
        save(folder / "model.safetensors", arrays, bfloat16=bfloat16)
        return folder
    names, where = list(arrays), {}
    for i in range(shards):
        part = names[i::shards]
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        save(folder / file, {name: arrays[name] for name in part}, bfloat16=bfloat16)
        where |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


def arrays_of(folder: Path):
    with Source(read_entries(folder)) as source:
        return {name: source.values(name) for name in source.entries}


def logits(folder: Path):
    with Source(read_entries(folder)) as source:
        return Forward(read_model(folder), source).logits(IDS)


def leftovers(folder: Path):
    return sorted(p.name for p in folder.iterdir() if ".partial-" in p.name)


# --- the same function ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("how", [How(), How(noise_db=10.0), How(factor=3, ffn_factor=1), How(untie=True)])
def test_a_wider_model_computes_the_same(tmp_path, name, how):
    small = write(tmp_path / "small", MODELS[name]())
    grown = grow(small, tmp_path / "large", how)
    before, after = logits(small), logits(tmp_path / "large")
    assert before.std() > 0.3, "a model whose logits are flat tests nothing"
    assert np.max(np.abs(after - before)) <= 1e-4
    assert grown.max_logit_difference is not None
    assert grown.max_logit_difference <= 1e-4
    # Symmetric copies are equal; with noise they are not, or the noise did nothing.
    weights = [
        v for k, v in arrays_of(tmp_path / "large").items() if k.endswith(("q_proj.weight", "dense.weight"))
    ]
    halves = [np.array_equal(v[:, :HIDDEN], v[:, HIDDEN : 2 * HIDDEN]) for v in weights]
    assert not any(halves) if how.noise_db else all(halves)


@pytest.mark.parametrize("name", MODELS)
def test_sizes_and_parameters_are_those_of_the_plan(tmp_path, name):
    small = write(tmp_path / "small", MODELS[name]())
    grown = grow(small, tmp_path / "large")
    before = transformer.Shape(**read_config(small))
    target = operators.widen(before, untie=grown.untied)
    assert transformer.Shape(**read_config(tmp_path / "large")) == target
    buffers = sum(
        v.size for k, v in arrays_of(tmp_path / "large").items() if "masked_bias" in k or "inv_freq" in k
    )
    if (
        name != "opt narrow untied"
    ):  # no such model is published, and `transformer.parameters` counts a full head
        assert grown.parameters - buffers == transformer.parameters(target)


def test_every_family_is_tested():
    assert {MODELS[name]()[0]["model_type"] for name in MODELS} == set(FAMILIES)


@pytest.mark.parametrize("kv", [HEADS, 2, 1])
@pytest.mark.parametrize("tied", [False, True])
def test_an_independent_forward_pass_agrees(tmp_path, kv, tied):
    model = llama(kv=kv, tied=tied, rms_norm_eps=1e-6)
    small = write(tmp_path / "small", model)
    grow(small, tmp_path / "large", How(noise_db=10.0))
    how = reference.Decoder(HEADS, kv)
    wide = reference.Decoder(2 * HEADS, kv if kv == 1 else 2 * kv)
    before = reference.logits(model[1], IDS, how)
    assert np.max(np.abs(reference.logits(arrays_of(tmp_path / "large"), IDS, wide) - before)) <= 1e-4
    assert np.max(np.abs(logits(small) - before)) <= 1e-4


@pytest.mark.parametrize("noise_db", [None, 10.0])
def test_files_hold_what_the_operator_on_arrays_gives(tmp_path, noise_db):
    model = llama(kv=2)
    grow(write(tmp_path / "small", model), tmp_path / "large", How(noise_db=noise_db, seed=7))
    variant = "symmetric" if noise_db is None else "noisy"
    expected = w.hyperclone(model[1], w.WidthGrowth(variant=variant, seed=7))
    found = arrays_of(tmp_path / "large")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_blocks_do_not_change_the_result(tmp_path, monkeypatch):
    small = write(tmp_path / "small", llama(kv=2))
    grow(small, tmp_path / "whole")
    monkeypatch.setattr(plan_module, "BLOCK", 100)
    grow(small, tmp_path / "parts")
    whole, parts = arrays_of(tmp_path / "whole"), arrays_of(tmp_path / "parts")
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    noisy = grow(small, tmp_path / "noisy", How(noise_db=10.0))
    assert noisy.max_logit_difference <= 1e-4
    query = "model.layers.0.self_attn.q_proj.weight"
    noise = arrays_of(tmp_path / "noisy")[query] - whole[query]
    wanted = np.mean(np.square(llama(kv=2)[1][query])) / 10
    assert np.mean(noise**2) == pytest.approx(wanted, rel=0.1)
    first, second = noise[:2, :HIDDEN], noise[2:4, :HIDDEN]
    assert not np.allclose(first, second), "each block draws its own noise"


# --- depth ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "order"), [("stacking", [0, 1, 2] * 2), ("interposition", [0, 0, 1, 1, 2, 2])]
)
def test_layers_are_repeated_in_order(tmp_path, operator, order):
    model = llama(kv=2, tied=True)
    grown = grow(write(tmp_path / "small", model), tmp_path / "deep", How(operator))
    found = arrays_of(tmp_path / "deep")
    assert read_config(tmp_path / "deep")["num_hidden_layers"] == 2 * LAYERS
    for target, source in enumerate(order):
        for name, value in model[1].items():
            if f".layers.{source}." in name:
                np.testing.assert_array_equal(
                    found[name.replace(f"layers.{source}.", f"layers.{target}.")], value
                )
    assert not grown.preserves_function
    assert grown.max_logit_difference > 1e-4


@pytest.mark.parametrize("name", ["llama", "olmo2", "gpt_neox", "opt", "olmo tied"])
def test_identity_layers_keep_the_function(tmp_path, name):
    grown = grow(write(tmp_path / "small", MODELS[name]()), tmp_path / "deep", How("staged_depth", factor=3))
    assert grown.max_logit_difference <= 1e-4
    assert read_config(tmp_path / "deep")["num_hidden_layers"] == 3 * LAYERS


def test_identity_layers_need_a_norm_before_each_block(tmp_path):
    small = write(tmp_path / "small", opt(before=False, narrow=10))
    with pytest.raises(SpecError, match="do_layer_norm_before"):
        grow(small, tmp_path / "deep", How("staged_depth"))


def test_compound_growth_is_width_then_depth(tmp_path):
    small = write(tmp_path / "small", llama(kv=2))
    grow(small, tmp_path / "wide")
    grow(tmp_path / "wide", tmp_path / "twice", How("stacking", factor=3))
    grow(small, tmp_path / "once", How("compound", depth_factor=3))
    twice, once = arrays_of(tmp_path / "twice"), arrays_of(tmp_path / "once")
    assert twice.keys() == once.keys()
    assert all(np.array_equal(twice[name], once[name]) for name in twice)


def test_kinds_of_layers_are_repeated_with_the_layers(tmp_path):
    model = llama("qwen2", kv=2, bias=True, use_sliding_window=True, sliding_window=16, max_window_layers=1)
    grow(write(tmp_path / "small", model), tmp_path / "deep", How("stacking"))
    kinds = json.loads((tmp_path / "deep" / "config.json").read_text())["layer_types"]
    assert kinds == ["full_attention", "sliding_attention", "sliding_attention"] * 2


# --- files ----------------------------------------------------------------------------------------------------------


def test_shards_in_and_out(tmp_path):
    small = write(tmp_path / "small", llama(kv=2), shards=3)
    grown = grow(small, tmp_path / "large", shard_bytes=40_000)
    assert len(grown.files) > 2
    for file in grown.files[:-1]:
        assert sum(e.nbytes for e in read_header(tmp_path / "large" / file)[0].values()) <= 40_000
    index = json.loads((tmp_path / "large" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * grown.parameters
    assert set(index["weight_map"].values()) == set(grown.files)
    plain = write(tmp_path / "plain", llama(kv=2))
    grow(plain, tmp_path / "single")
    one, many = arrays_of(tmp_path / "single"), arrays_of(tmp_path / "large")
    assert all(np.array_equal(one[name], many[name]) for name in one)


def test_bfloat16_is_exact_for_powers_of_two(tmp_path):
    small = write(tmp_path / "small", llama(kv=2), bfloat16=True)
    for factor in (2, 4):
        grown = grow(small, tmp_path / f"x{factor}", How(factor=factor))
        assert not grown.rounded
        assert grown.max_logit_difference < 1e-9
    entries = read_entries(tmp_path / "x2")
    assert {entry.dtype for entry in entries.values()} == {"BF16"}


def test_bfloat16_with_noise_is_rounded_and_float32_is_not(tmp_path):
    small = write(tmp_path / "small", llama(kv=2), bfloat16=True)
    rounded = grow(small, tmp_path / "rounded", How(noise_db=10.0))
    kept = grow(small, tmp_path / "kept", How(noise_db=10.0), dtype="float32")
    assert rounded.rounded
    assert 1e-4 < rounded.max_logit_difference < 0.3
    assert not kept.rounded
    assert kept.max_logit_difference <= 1e-4
    assert json.loads((tmp_path / "kept" / "config.json").read_text())["torch_dtype"] == "float32"


def test_rounding_to_bfloat16_is_to_nearest_even():
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(4000) * 10.0 ** rng.integers(-30, 30, 4000)).astype(np.float32)
    bits = from_float(values, "BF16")
    below = (values.view(np.uint32) >> 16).astype(np.uint32)
    gap = [np.abs(to_float(b.astype(np.uint16), "BF16").astype(float) - values) for b in (below, below + 1)]
    nearest = np.where(gap[0] < gap[1], below, np.where(gap[0] > gap[1], below + 1, below + below % 2))
    np.testing.assert_array_equal(bits, nearest.astype(np.uint16))
    special = from_float(np.array([np.inf, -np.inf, np.nan, 3.4e38, -0.0], dtype=np.float32), "BF16")
    assert [hex(b) for b in special] == ["0x7f80", "0xff80", "0x7fc0", "0x7f80", "0x8000"]
    every = np.arange(2**16, dtype=np.uint16)
    again = from_float(to_float(every, "BF16"), "BF16")
    numbers = ~np.isnan(to_float(every, "BF16"))
    np.testing.assert_array_equal(again[numbers], every[numbers])


def test_config_keeps_what_growth_does_not_touch(tmp_path):
    model = llama("mistral", kv=2, head_dim=HEAD_DIM, rope_theta=12345.0)
    small = write(tmp_path / "small", model)
    (small / "pytorch_model.bin").write_bytes(b"old")
    (small / ".hidden").write_text("x")
    grow(small, tmp_path / "large")
    found = json.loads((tmp_path / "large" / "config.json").read_text())
    grown = {"hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"}
    assert {k for k in found if found[k] != model[0].get(k)} == grown
    assert (found["num_key_value_heads"], found["intermediate_size"]) == (4, 2 * FFN)
    names = {p.name for p in (tmp_path / "large").iterdir()}
    assert names == {"config.json", "growth.json", "model.safetensors", "tokenizer.json"}


def test_a_spare_head_of_a_tied_model_is_left_out(tmp_path):
    numbers, arrays = llama(tied=True)
    arrays["lm_head.weight"] = arrays["model.embed_tokens.weight"]
    grow(write(tmp_path / "small", (numbers, arrays)), tmp_path / "large")
    assert "lm_head.weight" not in arrays_of(tmp_path / "large")


def test_memory_does_not_grow_with_the_model(tmp_path):
    numbers, arrays = llama()
    # One tensor of 24 MB becomes one of 48 MB.
    arrays["model.embed_tokens.weight"] = np.ones((250_000, HIDDEN), dtype=np.float32)
    arrays["lm_head.weight"] = np.ones((250_000, HIDDEN), dtype=np.float32)
    small = write(tmp_path / "small", (numbers | {"vocab_size": 250_000}, arrays))
    del arrays
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "BLOCK", 100_000)
        patch.setattr(writing_module, "COPY_BYTES", 100_000)
        tracemalloc.start()
        grow(small, tmp_path / "large", verify=False)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4e6


# --- refusals -------------------------------------------------------------------------------------------------------


def refused(arguments, capsys, code=2):
    assert main(["grow", *map(str, arguments)]) == code
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert "internal error" not in text
    return text


def test_nothing_is_overwritten(tmp_path, capsys):
    small = write(tmp_path / "small", llama())
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("kept")
    assert "exists already" in refused([small, "--out", out], capsys)
    assert [p.name for p in out.iterdir()] == ["mine"]
    assert "parent folder" in refused([small, "--out", tmp_path / "no" / "such"], capsys)


def edit_config(folder: Path, **changes):
    path = folder / "config.json"
    numbers = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (numbers | changes).items() if v is not None}))


CONFIGS = {
    "gone": (lambda f: (f / "config.json").unlink(), "holds no config.json"),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "unknown family": (lambda f: edit_config(f, model_type="bloom"), "cannot be grown; supported: gpt_neox"),
    "gemma": (lambda f: edit_config(f, model_type="gemma", head_dim=HEAD_DIM), "root of the width"),
    "no such family": (lambda f: edit_config(f, model_type="lama"), "did you mean llama"),
    "quantized": (lambda f: edit_config(f, quantization_config={"bits": 4}), "quantized"),
    "other width": (lambda f: edit_config(f, intermediate_size=FFN + 1), "config.json says [41, 24]"),
    "more layers": (lambda f: edit_config(f, num_hidden_layers=4), "layer 3 lacks"),
    "fewer layers": (lambda f: edit_config(f, num_hidden_layers=2), "beyond the 2 layers"),
    "untied": (lambda f: edit_config(f, tie_word_embeddings=False), "no tensor named ...lm_head.weight"),
    "too many layers": (lambda f: edit_config(f, num_hidden_layers=10**7), "10000000 layers"),
    "strange positions": (lambda f: edit_config(f, rope_scaling={"rope_type": "llama3"}), "--no-verify"),
    "strange activation": (lambda f: edit_config(f, hidden_act="sine"), "--no-verify"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_that_are_wrong(tmp_path, capsys, name):
    small = write(tmp_path / "small", llama(tied=True))
    spoil, said = CONFIGS[name]
    spoil(small)
    text = refused([small, "--out", tmp_path / "out"], capsys, code=1 if name.startswith("strange") else 2)
    assert said in text
    assert not (tmp_path / "out").exists()
    assert not leftovers(tmp_path)


def raw_file(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one(begin=0, end=4, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


HEADERS = {
    "empty": (b"", "too few"),
    "oversized": (raw_file({}, length=2**62), "the format allows 100,000,000"),
    "longer than the file": (raw_file({}, length=1000), "truncated"),
    "not JSON": (raw_file(b"{no"), "not JSON"),
    "not text": (raw_file(b"\xff\xfe"), "not UTF-8"),
    "a list": (raw_file([]), "not a JSON object"),
    "deep": (raw_file(b"[" * 100_000), "nested too deep"),
    "twice": (raw_file(b'{"a":%b,"a":%b}' % ((json.dumps(one()).encode(),) * 2), bytes(4)), "stands twice"),
    "overlap": (raw_file({"a": one(0, 8, (2,)), "b": one(4, 8)}, bytes(8)), "overlaps"),
    "hole": (raw_file({"a": one(), "b": one(8, 12)}, bytes(12)), "belong to none"),
    "tail": (raw_file({"a": one()}, bytes(9)), "belong to none"),
    "cut": (raw_file({"a": one(0, 8, (2,))}, bytes(5)), "truncated"),
    "shape": (raw_file({"a": one(shape=(3,))}, bytes(4)), "its shape needs 12"),
    "huge shape": (raw_file({"a": one(shape=(2**62, 2**62))}, bytes(4)), "its shape needs"),
    "negative": (raw_file({"a": one(shape=(-1,))}, bytes(4)), "not a list of whole numbers"),
    "offsets": (raw_file({"a": one(4, 0)}, bytes(4)), "two rising"),
    "dtype": (raw_file({"a": one(dtype="F7")}, bytes(4)), "unknown dtype"),
    "no description": (raw_file({"a": 5}), "no description"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_are_wrong(tmp_path, capsys, name):
    small = write(tmp_path / "small", llama())
    data, said = HEADERS[name]
    (small / "model.safetensors").write_bytes(data)
    text = refused([small, "--out", tmp_path / "out"], capsys)
    assert said in text
    assert "model.safetensors" in text
    assert not (tmp_path / "out").exists()
    assert not leftovers(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 400), new=st.binary(min_size=1, max_size=6), cut=st.integers(0, 3))
def test_a_damaged_file_is_an_error_or_a_file(tmp_path, at, new, cut):
    path = tmp_path / "a.safetensors"
    save(path, {"w": np.ones((3, 4), np.float32), "v": np.ones(5, np.int64)})
    data = bytearray(path.read_bytes())
    data[at : at + len(new)] = new
    path.write_bytes(data[: len(data) - cut])
    problem = ""
    try:
        entries, _ = read_header(path)
    except SpecError as error:
        entries, problem = {}, str(error)
    assert not problem or "a.safetensors" in problem
    with Source(entries) as source:
        assert sum(source.raw(e).nbytes for e in entries.values()) <= len(data)


INDEXES = {
    "not JSON": ("{", "not an index"),
    "no map": ("{}", "not an index"),
    "outside": ('{"weight_map": {"a": "../small/model.safetensors"}}', "not a file of this folder"),
    "gone": ('{"weight_map": {"a": "model-2.safetensors"}}', "not a file of this folder"),
    "other names": ('{"weight_map": {"a": "weights.safetensors"}}', "it is not"),
}


@pytest.mark.parametrize("name", INDEXES)
def test_indexes_that_are_wrong(tmp_path, capsys, name):
    small = write(tmp_path / "small", llama())
    (small / "model.safetensors").rename(small / "weights.safetensors")
    text, said = INDEXES[name]
    (small / "model.safetensors.index.json").write_text(text)
    assert said in refused([small, "--out", tmp_path / "out"], capsys)


def test_weights_that_are_absent_or_ambiguous(tmp_path, capsys):
    small = write(tmp_path / "small", llama())
    (small / "model.safetensors").rename(small / "pytorch_model.bin")
    assert "safe_serialization=True" in refused([small, "--out", tmp_path / "out"], capsys)
    for name in ("a", "b"):
        save(small / f"{name}.safetensors", {"x": np.ones(1, np.float32)})
    assert "2 files" in refused([small, "--out", tmp_path / "out"], capsys)


def test_every_wrong_tensor_is_named_at_once(tmp_path):
    numbers, arrays = llama()
    arrays["model.layers.1.self_attn.rel_pos.weight"] = np.ones((2, 2), np.float32)
    arrays["other.weight"] = np.ones(2, np.float32)
    arrays["model.norm.weight"] = np.ones(5, np.float32)
    del arrays["model.layers.2.mlp.up_proj.weight"]
    with pytest.raises(SpecError) as caught:
        grow(write(tmp_path / "small", (numbers, arrays)), tmp_path / "out")
    text = str(caught.value)
    for said in ("no growth rule", "does not begin with", "is [5], config.json says [24]", "layer 2 lacks"):
        assert said in text


OPTIONS = {
    "--operator bert2bert_aki": "cannot be grown by bert2bert_aki",
    "--operator hyperclone": "did you mean hypercloning",
    "--factor 1": "not between 2 and 64",
    "--factor 1 --depth-factor 99": "2 errors",
    "--operator stacking --noise-db 10": "adds no noise",
    "--operator stacking --ffn-factor 2": "leaves the width",
    "--noise-db nan": "nan is not between -60 and 200 dB",
    "--noise-db 7000": "7000 is not between -60 and 200 dB",
    "--noise-db -7000": "-7000 is not between -60 and 200 dB",
    "--shard-gb 0": "not above 0",
    "--shard-gb inf": "inf is above 1e+06",
    "--seed -1": "below 0",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_options_that_are_wrong(tmp_path, capsys, options):
    small = write(tmp_path / "small", llama())
    assert OPTIONS[options] in refused([small, "--out", tmp_path / "out", *options.split()], capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("snr_db", [7000.0, -7000.0, float("nan")])
def test_noise_out_of_range_is_said_so(snr_db):
    growth = w.WidthGrowth(variant="noisy", snr_db=snr_db)
    with pytest.raises(InfeasibleError, match="not between -60 and 200 dB"):
        w.hyperclone({"model.layers.0.self_attn.q_proj.weight": np.ones((4, 4))}, growth)


# --- what may happen on the way -------------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing(tmp_path, capsys, monkeypatch):
    small = write(tmp_path / "small", llama())

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing_module, "_write_tensor", full)
    assert "the disk is full" in refused([small, "--out", tmp_path / "out"], capsys, code=1)
    assert {p.name for p in tmp_path.iterdir()} == {"small"}


def test_too_little_room_is_seen_before_writing(tmp_path, monkeypatch):
    small = write(tmp_path / "small", llama())
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(writing_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InfeasibleError, match="the disk is full"):
        grow(small, tmp_path / "out")


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    small = write(tmp_path / "small", llama())

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing_module, "_compare", stop)
    with pytest.raises(KeyboardInterrupt):
        grow(small, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"small"}


def test_a_wrong_operator_is_caught(tmp_path, monkeypatch):
    small = write(tmp_path / "small", llama(kv=2))
    right = plan_module.pieces

    def wrong(step, source):
        for row, block in right(step, source):
            yield row, block * np.float32(1.01 if "o_proj" in step.name else 1.0)

    monkeypatch.setattr(writing_module, "pieces", wrong)
    with pytest.raises(InfeasibleError, match="logits differ"):
        grow(small, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"small"}
    assert grow(small, tmp_path / "unchecked", verify=False).max_logit_difference is None


def test_a_projection_that_no_layer_has(tmp_path, capsys):
    numbers, arrays = llama()
    arrays = {name: value for name, value in arrays.items() if "v_proj" not in name}
    small = write(tmp_path / "small", (numbers, arrays))
    assert "layer 1 lacks .self_attn.v_proj.weight" in refused([small, "--out", tmp_path / "out"], capsys)
    assert {p.name for p in tmp_path.iterdir()} == {"small"}


def test_damaged_weights_are_named(tmp_path):
    numbers, arrays = llama()
    arrays["model.layers.1.mlp.up_proj.weight"][0, 0] = np.nan
    with pytest.raises(InfeasibleError, match="damaged"):
        grow(write(tmp_path / "small", (numbers, arrays)), tmp_path / "out")


def test_the_command_says_what_it_did(tmp_path, capsys):
    small = write(tmp_path / "small", llama("olmo", norms=False, tied=True))
    assert main(["grow", str(small), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "parameters, from" in shown.out
    assert "same function" in shown.out
    assert "output head of its own" in shown.out
    assert "100 %" in shown.err
    assert "--noise-db" in shown.err
    record = json.loads((tmp_path / "out" / "growth.json").read_text())
    assert (record["operator"], record["width_factor"], record["untied"]) == ("hypercloning", 2, True)
