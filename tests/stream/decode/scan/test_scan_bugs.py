"""The check can fail: it finds each of these bugs, planted one at a time."""

import json

import numpy as np
import pytest
import scans

from stream.decode.scan import codes
from stream.decode.scan.plan import Tables
from stream.decode.scan.scanner import Scanner


def written(**changes: object) -> bytes:
    """Write an event that has a name or a value at a limit."""
    return json.dumps({"time": 1795431600, "model": "shop"} | changes).encode()


def clumsy(tables: Tables, what: str) -> None:
    """Plant one bug in what a scanner knows."""
    keys, entries, choices = tables.keys, tables.names[0], tables.choices
    if what == "names are compared by their length":
        keys[:, [codes.MASK, codes.WORD, codes.LAST]] = 0
    elif what == "a category has the next one's code":
        entries[entries[:, 3] == codes.FIRST_PART, 4] += 1
    elif what == "numbers are no categories":
        entries[entries[:, 2] == 1 << 62, 2] = 0
    elif what == "strings may be longer":
        choices[codes.STRING_BYTES_MAX] = 80
    elif what == "there may be more features":
        choices[codes.FEATURE_KEYS_MAX] = 30
    elif what == "deeper is not too deep":
        choices[codes.LEVELS_MAX] = 60
    elif what == "a version is no segment":
        choices[codes.VERSION_KEY] = -1
    elif what == "what is in no slice is in the first":
        tables.groups[:, codes.OTHERWISE] = 0
    elif what == "two columns are swapped":
        row = keys[:, codes.ACTION] == codes.FEATURE
        keys[row, codes.ARGUMENT] = np.roll(keys[row, codes.ARGUMENT], 1)


@pytest.mark.parametrize(
    "what",
    [
        "names are compared by their length",
        "a category has the next one's code",
        "numbers are no categories",
        "strings may be longer",
        "there may be more features",
        "deeper is not too deep",
        "a version is no segment",
        "what is in no slice is in the first",
        "two columns are swapped",
    ],
)
def test_the_check_finds_a_planted_bug(what: str) -> None:
    writer, held = scans.Writer(1), scans.book()
    scanner = Scanner(held, scans.LIMITS)
    values: list[bytes | None] = [writer.event() for _ in range(2_000)]
    values += [written(id="x" * 70), written(x=[[[[[[[[[[[]]]]]]]]]]])]
    values += [written(features={f"k{i}": i for i in range(25)})]
    scans.assert_same(values, scanner=scanner, held=held)
    for _, plan in scanner._plans.values():
        clumsy(plan.tables, what)
    with pytest.raises(AssertionError):
        scans.assert_same(values, scanner=scanner, held=held)
