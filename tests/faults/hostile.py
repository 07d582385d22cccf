"""The corpus: each function spoils a good bundle in one way that a stranger may have thought of; its name says how."""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bundles import edit, edit_golden, edit_header, edit_weights

from luban.bundle.format import FORMAT, WEIGHTS

Spoil = Callable[[Path], None]
CASES: dict[str, tuple[str, Spoil]] = {}  # name -> the good bundle it begins with, what is done to it
SLOTS = ("luban.json", "state.json", "tokenizers.json", "golden.jsonl", "report.json", "card.md", "fingerprint.json", WEIGHTS)


class Payload:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch canary",)


def case(name: str, spoil: Spoil, base: str = "mixed") -> None:
    """One line of the corpus."""
    CASES[name] = (base, spoil)


def put(name: str, data: bytes) -> Spoil:
    """Other bytes in a file."""
    return lambda folder: (folder / name).write_bytes(data) and None


def value(name: str, *path: Any, to: Any) -> Spoil:
    """Another value somewhere in a JSON file."""

    def change(found: Any) -> None:
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = to

    return lambda folder: edit(folder, name, change)


def text(name: str, *path: Any, to: str) -> Spoil:
    """Another value, written so that json.dumps would not write it."""

    def spoil(folder: Path) -> None:
        value(name, *path, to="HERE")(folder)
        (folder / name).write_text((folder / name).read_text().replace('"HERE"', to))

    return spoil


def golden(change: Callable[[list[Any]], Any]) -> Spoil:
    """Other golden rows."""
    return lambda folder: edit_golden(folder, change)


def weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Spoil:
    """Other tensors."""
    return lambda folder: edit_weights(folder, change)


def header(change: Callable[[dict[str, Any]], Any]) -> Spoil:
    """Another head of the weights."""
    return lambda folder: edit_header(folder, change)


def first(found: dict[str, Any]) -> Any:
    """The first tensor of a head."""
    return next(facts for name, facts in found.items() if name != "__metadata__")


def png(width: int, height: int) -> bytes:
    """A grey PNG of zeros: few bytes, many pixels."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b"\0" * (width + 1)) for _ in range(min(height, 5000))) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def linked(name: str, target: str) -> Spoil:
    """A link in the place of a file."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return spoil


def instead(name: str, make: Callable[[Path], Any]) -> Spoil:
    """Something else in the place of a file."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


def sparse(folder: Path) -> None:
    """A terabyte of zeros after the weights."""
    os.truncate(folder / WEIGHTS, 1 << 40)


def many_files(folder: Path) -> None:
    """More names than one would list."""
    for number in range(3000):
        (folder / f"{number}.json").touch()


def deep(levels: int) -> bytes:
    """Lists in lists."""
    return b"[" * levels + b"]" * levels


def bpe(change: Callable[[Any], Any]) -> Spoil:
    """Another tokenizer."""
    return lambda folder: edit(folder, "tokenizers.json", lambda found: change(found["t"]))


def set_model(**model: Any) -> Spoil:
    """Another model in the description."""
    return value("luban.json", "recipe", "model", to=model)


# code in the place of data
for slot in SLOTS:
    case(f"pickle as {slot}", put(slot, pickle.dumps(Payload())))
case("torch archive as weights", lambda folder: torch.save({"x": Payload()}, folder / WEIGHTS))
for place, spoil in {
    "task": value("luban.json", "recipe", "task", to="os.system"),
    "task by path": value("luban.json", "recipe", "task", to="luban.tasks.classification"),
    "model": set_model(kind="torch.nn.Linear", size="tiny"),
    "encoder": set_model(kind="mlp", size="tiny", encoders={"text": "builtins.eval"}),
    "column": value("luban.json", "recipe", "inputs", "x", to="os.system"),
    "spec": value("state.json", "inputs", "x", "kind", to="os.system"),
    "target": value("state.json", "target", "kind", to="../../evil"),
    "loss": value("luban.json", "recipe", "task", to={"kind": "classification", "loss": "__import__('os').system('touch canary')"}),
}.items():
    case(f"dotted path as {place}", spoil)
case("state with a callable", value("state.json", "inputs", "x", "__reduce__", to=["os.system", ["touch canary"]]))

# ways out of the folder
for slot in ("luban.json", "golden.jsonl", WEIGHTS, "MANIFEST.json"):
    case(f"link as {slot}", linked(slot, "/etc/passwd"))
    case(f"pipe as {slot}", instead(slot, os.mkfifo))
    case(f"folder as {slot}", instead(slot, Path.mkdir))
case("device as state.json", linked("state.json", "/dev/zero"))
case("other file hard-linked as state.json", instead("state.json", lambda path: os.link(path.parent.parent / "secret", path)))
case("link to itself", linked("card.md", "card.md"))
for path in ("../secret", "/etc/passwd", "a/b", "..", "C:\\secret", "luban.json\0"):
    case(f"manifest names {path!r}", value("MANIFEST.json", "files", path, to={"sha256": "0" * 64, "bytes": 5}))
case("data of the recipe is a secret", value("luban.json", "recipe", "data", to={"train": "/etc/passwd", "base": "/"}))
case("picture by path", golden(lambda lines: lines[0]["input"].update(i="/etc/passwd")), "picture")
case("picture by address", golden(lambda lines: lines[0]["input"].update(i="http://127.0.0.1:1/x.png")), "picture")
case("picture by a table with a path", golden(lambda lines: lines[0]["input"].update(i={"path": "/etc/passwd"})), "picture")
case("extra file", put("evil.py", b"import os"))
case("extra folder", lambda folder: (folder / "__pycache__").mkdir())
case("thousands of files", many_files)
for slot in ("luban.json", "state.json", "tokenizers.json", "golden.jsonl", WEIGHTS):
    case(f"no {slot}", lambda folder, slot=slot: (folder / slot).unlink())

# JSON
for name, data in {
    "empty": b"", "not UTF-8": b"\xff\xfe{}", "deep": deep(100_000), "a list": b"[]", "a number": b"1", "null": b"null",
    "many tables": b"[" + b"{}," * 600_000 + b"{}]", "many numbers": b"[" + b"0," * 900_000 + b"0]", "beyond the cap": b" " * 2_000_001,
    "long number": b'{"format": 1' + b"0" * 5000 + b"}", "long float": b'{"format": 1.' + b"0" * 500_000 + b"}", "NUL": b'{"format"\0: 2}',
}.items():  # fmt: skip
    case(f"description: {name}", put("luban.json", data))
case("state: many tables", put("state.json", b"[" + b"{}," * 9_000_000 + b"{}]"))
case("state: many texts", put("state.json", b'["' + b'a","' * 9_000_000 + b'"]'))
case("state: deep", put("state.json", b'{"inputs":' * 50_000 + b"1" + b"}" * 50_000))
case("golden: deep", put("golden.jsonl", deep(90_000)))
case("fingerprint: wrong", put("fingerprint.json", b"[1]"))
case("a key twice", lambda folder: (folder / "state.json").write_text('{"inputs": {}, ' + (folder / "state.json").read_text()[1:]) and None)
for number in ("NaN", "Infinity", "-Infinity", "1e999"):
    case(f"a mean of {number}", text("state.json", "inputs", "x", "mean", to=number))
for number in ('"2"', "2.0", "true", str(FORMAT + 1), "0", "-1", "null", "[2]", "99999999999999999999"):
    case(f"format {number}", text("luban.json", "format", to=number))
    case(f"manifest's format {number}", text("MANIFEST.json", "format", to=number))
case("another key in the description", value("luban.json", "run_me", to="rm -rf /"))
case("a name of a million letters", value("luban.json", "name", to="x" * 1_000_000))
case("another signature", value("luban.json", "signature", "inputs", "x", to="image"))
case("other labels", value("luban.json", "labels", to=["<script>", "yes"]))
case("no recipe", lambda folder: edit(folder, "luban.json", lambda found: {k: v for k, v in found.items() if k != "recipe"}))
case("a manifest with a number as digest", value("MANIFEST.json", "files", "card.md", "sha256", to=5))
case("a manifest with a lie about size", value("MANIFEST.json", "files", "card.md", "bytes", to=5))

# sizes beyond any memory or time
for name, spoil in {
    "width": set_model(kind="mlp", size="tiny", hidden=[1_000_000_000]),
    "depth": set_model(kind="mlp", size="tiny", hidden=[1] * 100_000),
    "layers": set_model(kind="transformer", width=4, heads=2, layers=1_000_000),
    "heads": set_model(kind="transformer", width=4, heads=10**30, layers=1),
    "buckets": set_model(kind="mlp", size="tiny", encoders={"text": {"kind": "ngrams", "buckets": 10**12}}),
    "width within bounds": set_model(kind="mlp", size="tiny", hidden=[65_536] * 64),
    "depth within bounds": set_model(kind="mlp", size="tiny", hidden=[1] * 64, head=[1] * 64),
    "columns": value("luban.json", "recipe", "inputs", to={f"t{i}": "text" for i in range(50_000)}),
    "labels": value("state.json", "target", "names", to=[str(i) for i in range(300_000)]),
    "names": value("state.json", "inputs", "c", "names", to=[str(i) for i in range(300_000)]),
    "quantiles": value("state.json", "inputs", "x", "quantiles", to=[0.5] * 1_000_000),
    "length of a text": value("state.json", "inputs", "t", "max_length", to=10**12),
}.items():
    case(f"gigantic {name}", spoil)
case("gigantic series", value("state.json", "inputs", "s", "numbers", to=10**9), "series")
case("gigantic series, long", value("state.json", "inputs", "s", "longest", to=10**15), "series")
case("gigantic picture", value("state.json", "inputs", "i", "size", to=[10**6, 10**6]), "picture")
case("gigantic linear", set_model(kind="linear", buckets=2**24), "linear")
case("gigantic boosted", set_model(kind="boosted", rounds=65_536, leaves=512), "boosted")
case("trees without end", weights(lambda found: found["used"].fill_(2**60)), "boosted")
case("trees that lead outside", weights(lambda found: found["left"].fill_(10**6)), "boosted")
case("columns that are not there", weights(lambda found: found["feature"].fill_(10**6)), "boosted")
case("n-grams without end", weights(lambda found: found["longest"].fill_(2**60)), "linear")

# tokenizers
case("catastrophic regex", bpe(lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": "(a+)+$"})))
case("another pre-tokenizer", bpe(lambda t: t.update(pre_tokenizer={"type": "Whitespace"})))
case("another model of tokens", bpe(lambda t: t["model"].update(type="Unigram")))
case("a normalizer", bpe(lambda t: t.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"})))
case("a decoder", bpe(lambda t: t.update(decoder={"type": "Replace", "pattern": {"Regex": "(a*)*b"}, "content": ""})))
case("merges of tokens that are not there", bpe(lambda t: t["model"].update(merges=[["x\u0000", "yy"]])))
case("merges that are no pairs", bpe(lambda t: t["model"].update(merges=[["a", "b", "c"], [], 5])))
case("a token numbered 2^40", bpe(lambda t: t["model"]["vocab"].update({"!": 2**40})))
case("a token with a negative number", bpe(lambda t: t["model"]["vocab"].update({"!": -1})))
case("two tokens of one number", bpe(lambda t: t["model"]["vocab"].update({"!": 0})))
case("a huge vocabulary", bpe(lambda t: t["model"].update(vocab={"<pad>": 0} | {f"t{i}": i + 1 for i in range(400_000)})))
case("a tokenizer that is a number", lambda folder: edit(folder, "tokenizers.json", lambda found: {"t": 5}))
case("a tokenizer of another column", lambda folder: edit(folder, "tokenizers.json", lambda found: {"x": found["t"]}))

# golden rows
case("a million golden rows", put("golden.jsonl", b"{}\n" * 1_000_000))
case("another answer", golden(lambda lines: lines[0]["answer"].update(confidence=0.123)))
case("a row without input", golden(lambda lines: lines[0].pop("input")))
case("a row that is a list", golden(lambda lines: [[1]]))
case("a text of ten million letters", golden(lambda lines: lines[0]["input"].update(t="ab " * 3_000_000)))
case("a number that is a table", golden(lambda lines: lines[0]["input"].update(x={"a": {"b": 1}})))
case("a lone surrogate", golden(lambda lines: lines[0]["input"].update(t="\ud800")))
case("broken base64", golden(lambda lines: lines[0]["input"].update(i={"base64": "****"})), "picture")
for name, data in {"bomb": png(20_000, 20_000), "wide": png(60_000, 60_000), "lie": png(1_000_000_000, 1), "text": b"<svg/>"}.items():
    held = {"base64": base64.b64encode(data).decode()}
    case(f"picture: {name}", golden(lambda lines, held=held: lines[0]["input"].update(i=held)), "picture")

# weights
for name, change in {
    "NaN": lambda found: next(t for t in found.values() if t.is_floating_point()).fill_(float("nan")),
    "infinite": lambda found: next(t for t in found.values() if t.is_floating_point()).flatten()[:1].fill_(float("inf")),
    "one more": lambda found: found | {"more": torch.zeros(3)},
    "one less": lambda found: dict(list(found.items())[1:]),
    "renamed": lambda found: {f"x{key}": tensor for key, tensor in found.items()},
    "of another type": lambda found: {key: tensor.half() for key, tensor in found.items()},
    "of another shape": lambda found: {key: tensor.flatten() for key, tensor in found.items()},
    "thousands of tensors": lambda found: {f"{i}": torch.zeros(1) for i in range(3000)},
}.items():
    case(f"weights: {name}", weights(change))
for number, length in {"2^40": 1 << 40, "2^63": 1 << 63, "2^64 - 1": (1 << 64) - 1, "0": 0}.items():
    case(f"head of length {number}", put(WEIGHTS, length.to_bytes(8, "little") + b"{}"))
for name, change in {
    "negative shape": lambda found: first(found).update(shape=[-1]),
    "overflowing shape": lambda found: first(found).update(shape=[2**40, 2**40]),
    "float shape": lambda found: first(found).update(shape=[1.5]),
    "overlapping offsets": lambda found: [facts.update(data_offsets=[0, 4]) for facts in list(found.values())[:2]] and None,
    "negative offsets": lambda found: first(found).update(data_offsets=[-8, 4]),
    "offsets beyond the end": lambda found: first(found).update(data_offsets=[0, 1 << 50]),
    "a lie about the type": lambda found: first(found).update(dtype="F64"),
    "an unknown type": lambda found: first(found).update(dtype="PICKLE"),
    "deep": lambda found: deep(50_000),
    "not JSON": lambda found: b"\0" * 64,
    "metadata of a megabyte": lambda found: found.update(__metadata__={"x": "y" * 1_000_000}, more={}),
}.items():
    case(f"head: {name}", header(change))
case("weights cut short", lambda folder: os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size - 3))
case("weights with an appendix", lambda folder: put(WEIGHTS, (folder / WEIGHTS).read_bytes() + b"#!/bin/sh\n")(folder))
case("a terabyte of weights", sparse)
case("a bundle that is a file", lambda folder: (shutil.rmtree(folder), folder.write_bytes(b"PK"))[1] and None)


def resigned(folder: Path) -> None:
    """A manifest that fits what is there, as the author of the bundle would write it."""
    from hashlib import sha256

    manifest = json.loads((folder / "MANIFEST.json").read_text())
    for name, known in manifest["files"].items():
        path = folder / name
        if "\0" not in name and path.parent == folder and path.is_file() and not path.is_symlink():
            known["bytes"] = path.stat().st_size
            known["sha256"] = sha256(path.read_bytes()).hexdigest() if known["bytes"] < 1 << 30 else "0" * 64
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
