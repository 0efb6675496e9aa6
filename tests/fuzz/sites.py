"""Every place that reads bytes or text from outside, and the decoder that fuzzes it.

A place is found by what it calls (`json.loads`, `np.frombuffer`, ...), so that a new one cannot
be forgotten: it is named here with the decoder whose cases reach it, or with the reason why
nothing strange can come to it.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType

__all__ = ["FUZZED", "TRUSTED", "entered", "sites", "sites_in"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("detectors", "stream", "driftline")
READERS = {"loads", "decode", "Decoder", "convert", "unpack", "unpack_from", "frombuffer"}
READERS |= {"fromisoformat", "strptime", "decompress", "decompressobj", "reader", "DictReader"}
READERS |= {"read_text", "read_bytes", "GzipFile", "open_stream"}

FUZZED = {
    "detectors/alert.py:instant_ms": "ledger",
    "detectors/panes.py:_decoded": "part",
    "detectors/profile.py:load": "profile",
    "detectors/summary/cells.py:add_cell": "part",
    "driftline/options.py:time_ms": "bound",
    "stream/checkpoint.py:_open": "snapshot",
    "stream/checkpoint.py:_to_array": "snapshot",
    "stream/checkpoint.py:unpack": "snapshot",
    "stream/config_file.py:_read": "config",
    "stream/config_file.py:_value": "config",
    "stream/config_file.py:load_config": "config",
    "stream/control.py:Control._body": "control",
    "stream/control.py:Control._take": "control",
    "stream/decode/arrow/body.py:_places": "arrow",
    "stream/decode/arrow/body.py:_part": "arrow",
    "stream/decode/arrow/body.py:schema_frame": "arrow",
    "stream/decode/arrow/body.py:texts_of": "arrow",
    "stream/decode/arrow/frames.py:Table._number": "arrow",
    "stream/decode/arrow/frames.py:Table.root": "arrow",
    "stream/decode/arrow/frames.py:Table.text": "arrow",
    "stream/decode/arrow/frames.py:_messages": "arrow",
    "stream/decode/arrow/kernels.py:views_of": "arrow",
    "stream/decode/arrow/page.py:Page._texts": "arrow",
    "stream/decode/arrow/page.py:Page._texts_sound": "arrow",
    "stream/decode/arrow/sheet.py:sheets": "arrow",
    "stream/decode/json_events.py:_is_utf8": "event",
    "stream/decode/strict.py:_document": "event",
    "stream/decode/strict.py:depth_within": "event",
    "stream/decode/times.py:texts_ms": "time",
    "stream/emitting.py:retimed": "retime",
    "stream/ledger.py:decode_record": "ledger",
    "stream/record_batches.py:_decompress": "batches",
    "stream/record_batches.py:_decompress_xerial": "batches",
    "stream/record_batches.py:_gather": "batches",
    "stream/record_batches.py:split": "batches",
    "stream/sources.py:read_rows": "rows",
    "stream/tables.py:_Texts.__next__": "rows",
    "stream/tables.py:_milliseconds": "rows",
    "stream/tables.py:_time": "rows",
    "stream/tables.py:table_rows": "rows",
}
TRUSTED = {
    "detectors/columns.py:_numbers": "its own bytes",
    "detectors/incident.py:Incidents.snapshot": "its own bytes",
    "driftline/demo_worker.py:DemoWorker.pages": "the log of its own child",
    "driftline/demo_worker.py:DemoWorker.trouble": "the log of its own child",
    "driftline/demo_worker.py:_answer": "the page of its own child",
    "stream/checkpoint.py:Checkpoints.read": "keys, with what is no text replaced",
    "stream/decode/json_events.py:": "makes a decoder; what it decodes is fuzzed as event",
    "stream/decode/json_events.py:_decoder": "makes decoders; what they decode is fuzzed as event",
    "stream/fitting.py:load_file": "hands all bytes to detectors/profile.py:load",
    "stream/kafka_jars.py:read_lock": "a file of this repository",
    "stream/kafka_probe.py:answers": "a fixed number of bytes into two integers",
    "stream/localkafka.py:_await_answer": "the log of its own child, shown as text",
    "stream/localkafka.py:_prepare": "its own bytes",
    "stream/localkafka.py:_read_state": "its own file; what cannot be read is none",
    "stream/memory.py:rss_bytes": "the kernel's page about this process",
    "stream/record_walk.py:": "its own bytes",
    "stream/record_walk.py:warm_records": "its own bytes",
    "stream/records.py:Records.of_values": "bytes as bytes",
    "stream/security.py:_secret_in": "a secret is any text",
    "stream/supervisor.py:_Child.asked": "the words of its own child",
}


def sites() -> set[str]:
    """Name every place in the packages that reads from outside."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "bench" not in path.parts:
                name = path.relative_to(ROOT).as_posix()
                found |= {f"{name}:{place}" for place in sites_in(path.read_text())}
    return found


def sites_in(source: str) -> set[str]:
    """Name the functions of a module that call a reader.

    >>> sorted(sites_in("def f(): return json.loads(x)"))
    ['f']
    """
    return set(_walk(ast.parse(source), ()))


def _walk(node: ast.AST, where: tuple[str, ...]) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        place = (*where, child.name) if named else where
        called = getattr(child.func, "attr", "") if isinstance(child, ast.Call) else ""
        if called in READERS:
            yield ".".join(place)
        yield from _walk(child, place)


def entered(call: Callable[[], object]) -> set[str]:
    """Name the functions that a call enters, as `sites` does."""
    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    root = f"{ROOT}/"
    names = {(c.co_filename, c.co_qualname.replace("<locals>.", "")) for c in codes}
    return {f"{f.removeprefix(root)}:{name}" for f, name in names if f.startswith(root)}
