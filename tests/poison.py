"""Poison: records that are wrong in one way each, with the code that each must be rejected with.

A file under `poison` is one record of a topic or line of a JSONL file, one under `poison_csv` is
one line of a table with the columns of COLUMNS.  Its directory is the code, its name says what is
wrong.  What is large is written here.
"""

import json
from pathlib import Path
from typing import Any

from detectors.events import REJECT_CODES
from stream.config import ColumnsConfig

__all__ = [
    "COLUMNS",
    "CSV_HEADER",
    "CSV_POISON",
    "CSV_USUAL",
    "JSON_POISON",
    "LARGE_CSV",
    "LARGE_JSON",
    "UNREACHABLE",
    "USUAL",
    "misfiled",
    "stored",
]

HERE = Path(__file__).parent / "stream" / "decode"
USUAL: dict[str, Any] = json.loads((HERE / "usual.json").read_text())
CSV_HEADER = b"time,model,version,id,score,class,label,latency,weight,amount,country,shap,revenue\n"
CSV_USUAL = b"2026-11-23T12:00:00.250Z,shop,3,a1,0.93,fraud,1,0.012,1,12.5,DE,0.31,12.0\n"
COLUMNS = ColumnsConfig(
    model="model",
    version="version",
    id="id",
    prediction="score",
    class_="class",
    label="label",
    latency_seconds="latency",
    weight="weight",
    features=("amount",),
    segments=("country",),
    attributions=("shap",),
    metrics=("revenue",),
)
# What a table cannot say: an empty row is none, a cell is no list, a file has no append times.
UNREACHABLE = {
    "json": {"arrow", "quarantine"},
    "csv": {
        "empty",
        "depth",
        "not_object",
        "features_type",
        "segments_type",
        "time_future",
        "arrow",
        "quarantine",
    },
}


def stored(folder: Path, kind: str) -> dict[tuple[str, str], bytes]:
    """Read poison files; give each by its code and name."""
    files = sorted(folder.glob(f"*/*.{kind}"))
    return {(path.parent.name, path.stem): path.read_bytes() for path in files}


def misfiled(folder: Path, kind: str) -> list[str]:
    """Say what is wrong with a collection of poison, apart from what the poison is."""
    wrong = [
        f"{path.relative_to(folder)} is not CODE/NAME.{kind}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (path.suffix != f".{kind}" or path.parent.parent != folder)
    ]
    found = stored(folder, kind)
    wrong += [f"{code}/{name}: no such code" for code, name in found if code not in REJECT_CODES]
    contents: dict[bytes, tuple[str, str]] = {}
    for place, content in found.items():
        if (first := contents.setdefault(content, place)) != place:
            wrong.append(f"{'/'.join(place)} is {'/'.join(first)} again")
    large = {code for _, code in (LARGE_JSON if kind == "json" else LARGE_CSV).values()}
    codes = {code for code, _ in found} | large | UNREACHABLE[kind]
    wrong += [f"there is none for {code}" for code in REJECT_CODES if code not in codes]
    return wrong


def _event(text: bytes) -> bytes:
    return b'{"time": 1795435200, "model": "m", ' + text + b"}"


LARGE_JSON: dict[str, tuple[bytes | None, str]] = {
    "tombstone": (None, "empty"),
    "nothing": (b"", "empty"),
    "65,537 bytes of spaces and an event": (b'{"time": 1700000000}'.rjust(65_537), "too_large"),
    "1 MiB of zeros": (bytes(2**20), "too_large"),
    "100,000 lists": (b"[" * 100_000, "too_large"),
    "60,000 lists, open": (b"[" * 60_000, "depth"),
    "30,000 lists, closed": (b"[" * 30_000 + b"]" * 30_000, "depth"),
    "10,000 objects in an unknown field": (
        _event(b'"x": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        "depth",
    ),
    "60,000 open quotes": (b'"' * 60_000, "json"),
    "60,000 backslashes": (b"\\" * 60_000, "json"),
    "a string of 60,000 escaped quotes": (b'{"a": "' + b'\\"' * 30_000, "json"),
    "60,000 digits as a feature": (
        _event(b'"features": {"a": ' + b"7" * 60_000 + b"}"),
        "number_range",
    ),
    "60,000 digits as a segment": (
        _event(b'"segments": {"a": ' + b"7" * 60_000 + b"}"),
        "number_range",
    ),
    "60,000 digits as a time": (b'{"model": "m", "time": ' + b"1" * 60_000 + b"}", "number_range"),
    "60,000 zeros before a time": (b'{"model": "m", "time": ' + b"0" * 60_000 + b"1}", "json"),
    "a name of 60,000 characters": (_event(b'"features": {"%s": 1}' % (b"n" * 60_000)), "limit"),
    "a name of 60,000 characters in half characters": (
        _event(b'"features": {"%s": 1}' % (b"\\udc00" * 10_000)),
        "encoding",
    ),
    "3,000 features": (
        json.dumps(USUAL | {"features": {f"f{i}": i for i in range(3_000)}}).encode(),
        "limit",
    ),
    "3,000 segments": (
        json.dumps(USUAL | {"segments": {f"s{i}": i for i in range(3_000)}}).encode(),
        "limit",
    ),
}


def _row(**cells: bytes) -> bytes:
    names = CSV_HEADER.decode().strip().split(",")
    usual = dict(zip(names, CSV_USUAL.strip().split(b","), strict=True))
    return b",".join((usual | cells).values())


LARGE_CSV: dict[str, tuple[bytes, str]] = {
    "a cell of 200,000 digits": (_row(amount=b"7" * 200_000), "too_large"),
    "a cell of 60,000 digits": (_row(amount=b"7" * 60_000), "number_range"),
    "a cell of 60,000 digits and a letter": (_row(amount=b"7" * 60_000 + b"x"), "limit"),
    "a cell of 60,000 digits and two points": (_row(amount=b"7" * 60_000 + b".1.1"), "limit"),
    "a cell of 60,000 quotes": (_row(amount=b'"' * 60_000), "limit"),
    "1 MiB of commas": (_row() + b"," * 2**20, "too_large"),
    "a megabyte of zeros": (bytes(2**20), "too_large"),
    "20 MiB in one line": (b"x" * (20 << 20), "too_large"),
    "an open quote and 1 MiB": (_row(amount=b'"' + b"y" * 2**20), "too_large"),
}
JSON_POISON = stored(HERE / "poison", "json")
CSV_POISON = stored(HERE / "poison_csv", "csv")
