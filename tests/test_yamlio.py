"""YAML to data with positions; hostile and broken files end quickly in a clear error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulator import documents, yamlio
from simulator.errors import SpecError, UnknownNameError


@contextmanager
def refused(words: str, line: int | None = None, column: int | None = None) -> Iterator[None]:
    """The block must raise a SpecError with these words at this place, in under a second."""
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        yield
    assert time.process_time() - start < 1.0
    assert words in str(caught.value)
    problem = caught.value.problems[0]
    if line is not None:
        assert problem.line == line
    if column is not None:
        assert problem.column == column


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e9", 1e9),
        ("989e12", 989e12),
        ("1.5", 1.5),
        (".5", 0.5),
        ("12", 12),
        ("010", 10),
        ("0o10", 8),
        ("0x10", 16),
        ("-3", -3),
        ("true", True),
        ("no", "no"),
        ("on", "on"),
        ("30:00", "30:00"),
        ("2026-11-21", "2026-11-21"),
        ("1f1b", "1f1b"),
        ("80 GB", "80 GB"),
        ("$2.99/GPU-h", "$2.99/GPU-h"),
        ("1_000", "1_000"),
        ("~", None),
        ("null", None),
        ("'12'", "12"),
        ('"true"', "true"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = yamlio.loads(f"key: {text}").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_positions_of_keys_and_values() -> None:
    document = yamlio.loads("a: 1\nb:\n  c: [x, {d: 2}]\n", "f.yaml")
    assert document.keys["b", "c"] == yamlio.Mark("f.yaml", 3, 3)
    assert document.values["b", "c"] == yamlio.Mark("f.yaml", 3, 6)
    assert document.values["b", "c", 1, "d"] == yamlio.Mark("f.yaml", 3, 14)


def test_the_position_of_something_missing_is_that_of_its_parent() -> None:
    document = yamlio.loads("a:\n  b: 1\n", "f.yaml")
    assert document.problem(("a", "c"), "is missing").line == 1


def test_duplicate_keys_are_refused_all_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        yamlio.loads("a: 1\nb: 2\na: 3\nb: 4\n", "f.yaml")
    assert [(p.line, p.path, p.hint) for p in caught.value.problems] == [
        (3, "a", "first written in line 1"),
        (4, "b", "first written in line 2"),
    ]


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("a: &x 1\nb: *x\n", "anchors (&x) are not used", 1),
        ("a: *x\n", "aliases (*x) are not used", 1),
        ("a: !!python/object/apply:os.system [ls]\n", "tags", 1),
        ("a: !custom 1\n", "tags", 1),
        ("a: 1\n---\nb: 2\n", "second document", 2),
        ("a: 1\n? [x, y]\n: 2\n", "a key must be a single word", 2),
        ("'': 1\n", "a key is missing", 1),
        ("a: 1\n\tb: 2\n", "tabs", 2),
        ("a: b: c\n", "in quotes", 1),
        ("a: [1, 2\n", "not valid YAML", None),
        ("a: '\n", "not valid YAML", None),
        ("- a\n- b\n", "`key: value` lines", 1),
        ("just text\n", "`key: value` lines", 1),
        ("", "is empty", None),
        ("# only a comment\n", "is empty", None),
        ("a: \x01\n", "not valid YAML", None),
    ],
)
def test_what_is_not_a_specification_is_refused(text: str, words: str, line: int | None) -> None:
    with refused(words, line):
        yamlio.loads(text, "f.yaml")


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(12), "anchors"),
        ("a: " + "[" * 5000 + "]" * 5000, "deep"),
        ("a: " + "[" * 400_000, "deep"),
        ("a: " + "{b: " * 100_000, "deep"),
        ("\n".join(" " * i + "a:" for i in range(1000)), "deep"),
        ("a: [" + "1," * 400_000 + "]", "more than"),
        ("\n".join(f"k{i}: 1" for i in range(60_000)), "more than"),
        ("? " * 200_000, ""),
        ("- " * 200_000, "deep"),
        ("a: " + "x" * 2_000_000, "more than 1 MB"),
        ("!" * 500_000, ""),
        ("a: '" + "x" * 900_000, ""),
        ("&a " * 200_000, ""),
        ("a: |\n" + " x\n" * 200_000 + "b", "not valid"),
    ],
    ids=range(14),
)
def test_hostile_text_ends_quickly(text: str, words: str) -> None:
    with refused(words):
        yamlio.loads(text, "f.yaml")


def test_a_number_of_many_digits_stays_text() -> None:
    assert yamlio.loads("a: " + "9" * 10_000).data["a"] == "9" * 10_000


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: 1\n" * 2_000_001, "has 10.0 MB; a specification has at most 1 MB"),
        (b"a: \x00\n", "NUL"),
        (b"a: 1\nb: \xff\xfe\n", "not UTF-8"),
        ("a: 1\n".encode("utf-16"), "not UTF-8"),
        (bytes(range(256)) * 100, "not"),
        (b"\x1f\x8b\x08" + b"\x00" * 1000, "not"),
    ],
    ids=["10 MB", "NUL", "latin-1", "utf-16", "binary", "gzip"],
)
def test_a_file_that_is_not_text_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    with refused(words):
        documents.load(path)


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text("a: 1")
    with refused("did you mean quickstart.yaml?"):
        documents.load(tmp_path / "quikstart.yaml")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with refused("there is no folder"):
        documents.load(tmp_path / "nowhere" / "a.yaml")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with refused("is a folder"):
        documents.load(tmp_path)


@pytest.mark.parametrize("name", ["a\0b.yaml", "x" * 5000 + ".yaml", ""])
def test_impossible_file_names_are_refused(name: str) -> None:
    with pytest.raises(SpecError):
        documents.load(name)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_not_read(device: str) -> None:
    if Path(device).exists():
        with refused("no such file"):
            documents.load(device)


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document = documents.load(path)
    assert document.data == {"a": 1, "b": 2}
    assert document.values["b",].line == 2


# --- extends -------------------------------------------------------------------------------------


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


def test_extends_merges_deeply_and_remembers_where_each_value_was_written(tmp_path: Path) -> None:
    write(
        tmp_path,
        base="id: base\nname: Base\naliases: [b]\ntraining:\n  tokens: 1T\n  seq_length: 4096\n",
        child="extends: base.yaml\ntraining:\n  tokens: 2T\n",
    )
    document = documents.load(tmp_path / "child.yaml")
    assert document.data == {"training": {"tokens": "2T", "seq_length": 4096}}
    assert document.values["training", "tokens"].file.endswith("child.yaml")
    assert document.values["training", "seq_length"].file.endswith("base.yaml")
    assert document.problem(("training", "seq_length"), "x").text == "  seq_length: 4096"


def test_a_circle_of_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, a="extends: b.yaml\n", b="extends: c.yaml\n", c="extends: a.yaml\n")
    with refused("in a circle: a.yaml -> b.yaml -> c.yaml -> a.yaml", 1):
        documents.load(tmp_path / "a.yaml")


def test_a_file_that_extends_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path, a="extends: ./a.yaml\n")
    with refused("in a circle"):
        documents.load(tmp_path / "a.yaml")


def test_a_long_chain_is_refused(tmp_path: Path) -> None:
    write(tmp_path, **{f"f{i}": f"extends: f{i + 1}.yaml\n" for i in range(100)})
    with refused("files extend each other"):
        documents.load(tmp_path / "f0.yaml")


def test_a_missing_parent_is_shown_where_it_is_named(tmp_path: Path) -> None:
    write(tmp_path, base="a: 1", child="x: 1\nextends: bse.yaml\n")
    with refused("did you mean base.yaml?", 2, 10):
        documents.load(tmp_path / "child.yaml")


def test_a_mistake_in_the_parent_is_shown_in_the_parent(tmp_path: Path) -> None:
    write(tmp_path, base="a: 1\na: 2\n", child="extends: base.yaml\n")
    with pytest.raises(SpecError) as caught:
        documents.load(tmp_path / "child.yaml")
    assert str(caught.value.problems[0].file).endswith("base.yaml")


@pytest.mark.parametrize("value", ["[a]", "{a: 1}", "3", "", "' '"])
def test_extends_must_be_a_name(tmp_path: Path, value: str) -> None:
    write(tmp_path, a=f"extends: {value}\n")
    with refused("expected the id or the path"):
        documents.load(tmp_path / "a.yaml")


# --- overrides and settings ----------------------------------------------------------------------

OVERRIDES = """
training: {tokens: 1T}
hardware: {accelerator: h100-sxm-80gb, n_gpus: 8}
model: llama-3-8b
overrides:
  more: {training.tokens: 2T}
  big: {hardware.n_gpus: 64, hardware.price: $2/GPU-h}
scenarios:
  today: []
  next: [more, big]
  wrong: [mor]
"""


def test_a_scenario_is_a_list_of_overrides() -> None:
    document = yamlio.loads(OVERRIDES)
    assert documents.choose_scenario(document, "today").data == document.data
    changed = documents.choose_scenario(document, "next").data
    assert changed["training"]["tokens"] == "2T"
    assert changed["hardware"] == {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$2/GPU-h"}
    assert document.data["training"]["tokens"] == "1T"


def test_a_mistake_in_an_override_is_shown_in_the_override() -> None:
    document = documents.choose(yamlio.loads(OVERRIDES, "f.yaml"), ["big"])
    assert document.problem(("hardware", "n_gpus"), "x").line == 7


def test_unknown_scenarios_and_overrides() -> None:
    document = yamlio.loads(OVERRIDES, "f.yaml")
    with pytest.raises(UnknownNameError, match="did you mean next"):
        documents.choose_scenario(document, "nxt")
    with refused("did you mean more?", 11):
        documents.choose_scenario(document, "wrong")


def test_settings_are_read_as_yaml() -> None:
    settings = ["training.tokens=15T", "a.b.c=[1, 2]", "hardware.n_gpus=16", "x=no", "y="]
    data = documents.apply_settings(yamlio.loads(OVERRIDES), settings).data
    assert data["training"]["tokens"] == "15T"
    assert data["a"] == {"b": {"c": [1, 2]}}
    assert data["hardware"]["n_gpus"] == 16
    assert data["x"] == "no"
    assert data["y"] is None


def test_a_setting_below_a_reference_extends_it() -> None:
    data = documents.apply_settings(yamlio.loads(OVERRIDES), ["model.num_hidden_layers=16"]).data
    assert data["model"] == {"extends": "llama-3-8b", "num_hidden_layers": 16}


def test_a_setting_reaches_into_a_list() -> None:
    document = yamlio.loads("hardware: [{n_gpus: 8}, {n_gpus: 16}]")
    data = documents.apply_settings(document, ["hardware.1.n_gpus=32"]).data
    assert data["hardware"] == [{"n_gpus": 8}, {"n_gpus": 32}]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.tokens", "expected path=value"),
        ("=3", "expected path=value"),
        ("...=3", "expected a dotted key"),
        ("hardware.n_gpus.x=3", "nothing can be set under hardware.n_gpus"),
        ("a=[1", "not valid YAML"),
        ("a=*x", "aliases"),
        (".".join("a" * 100) + "=1", "expected a dotted key"),
    ],
)
def test_settings_that_cannot_be_applied(setting: str, words: str) -> None:
    with refused(words):
        documents.apply_settings(yamlio.loads("hardware: {n_gpus: 8}"), [setting])
