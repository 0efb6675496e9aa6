"""Twenty thousand cases in every push; the full campaign is a command (see __main__)."""

import random
import time
import zlib
from contextlib import nullcontext

import numpy as np
import orjson
import pytest

from detectors.errors import ConfigError
from detectors.events import REJECT_CODES
from stream.decode.scan import codes
from stream.decode.scan.scanner import Scanner
from stream.decode.times import text_ms
from stream.records import Records
from tests import scans
from tests.fuzz import campaign
from tests.fuzz.campaign import (
    DECODE_BYTES_MAX,
    SMALL_BYTES_MAX,
    Finding,
    case,
    fuzz,
    peak_bytes,
    shares,
    table,
)
from tests.fuzz.decoders import ACCEPTED, DECODERS, Decoder
from tests.fuzz.scans import BATCH, batch, fuzz_scans
from tests.fuzz.sites import FUZZED, TRUSTED, entered, sites, sites_in

CASES = 20_000
SEED = 5


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: d.name)
def test_whatever_the_bytes_are_there_is_a_value_or_a_named_refusal(decoder: Decoder) -> None:
    count = shares(DECODERS, CASES)[decoder.name]
    assert count >= 1_000
    tally = fuzz(decoder, SEED, range(count))
    assert count == tally.outcomes.total()
    assert 0.05 < tally.outcomes[ACCEPTED] / count < 0.9
    assert tally.peak_bytes > 0


def test_the_mutations_of_events_reach_every_reject_code_that_small_json_can_have() -> None:
    tally = fuzz(DECODERS[0], SEED, range(8_000))
    unreached = {ACCEPTED, *REJECT_CODES} - tally.outcomes.keys()
    assert unreached <= {"too_large", "quarantine", "arrow"}


def test_every_place_that_reads_from_outside_is_fuzzed_or_trusted_for_a_reason() -> None:
    """Name a new one in sites.py: with the decoder that reaches it, or with the reason."""
    assert sites() == FUZZED.keys() | TRUSTED.keys()
    assert not FUZZED.keys() & TRUSTED.keys()
    assert set(FUZZED.values()) == {decoder.name for decoder in DECODERS} - {"commit"}


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: d.name)
def test_the_cases_of_a_decoder_enter_what_it_is_said_to_fuzz(decoder: Decoder) -> None:
    places = {place for place, name in FUZZED.items() if name == decoder.name}
    assert places <= entered(lambda: fuzz(decoder, SEED, range(300)))


def test_a_place_that_nobody_named_would_be_found() -> None:
    source = """
class Reader:
    async def take(self):
        def inner(value):
            return msgspec.json.decode(value)
        return [orjson.loads(v) for v in self.values]
"""
    assert sites_in(source) == {"Reader.take", "Reader.take.inner"}
    assert {"tests/fuzz/sites.py:sites_in"} <= entered(lambda: sites_in(source))


def test_a_case_is_made_again_from_its_number() -> None:
    for decoder in DECODERS:
        assert case(decoder, 3, 17) == case(decoder, 3, 17) != case(decoder, 3, 18)
        assert case(decoder, 4, 17) != case(decoder, 3, 17)


def large_values() -> dict[str, bytes]:
    """Write what is as large, deep or many as an event may be."""
    event = b'{"time": 1795435200, "model": "m", "x": %s}'
    return {
        "lists": b"[" * 65_536,
        "objects": b'{"a":' * 10_000,
        "digits": event % (b"7" * 60_000),
        "quotes": event % (b'"' + b'\\"' * 30_000 + b'"'),
        "keys": event % (b"{" + b",".join(b'"%d":1' % i for i in range(6_000)) + b"}"),
        "numbers": event % (b"[" + b"1," * 30_000 + b"1]"),
        "features": event.replace(b'"x"', b'"features"')
        % (b"{" + b",".join(b'"%d":1' % i for i in range(6_000)) + b"}"),
        "escapes": event % (b'"' + b"\\ud83d\\ude00" * 5_000 + b'"'),
        "a megabyte": bytes(1 << 20),
    }


@pytest.mark.parametrize("name", large_values())
def test_no_event_takes_more_than_16_mib_to_decode(name: str) -> None:
    event, content = DECODERS[0], large_values()[name]
    event.outcome(content)
    assert peak_bytes(event, content) <= DECODE_BYTES_MAX


@pytest.mark.parametrize(
    ("name", "place", "fault"),
    [
        ("snapshot", "stream.checkpoint._UNREADABLE", (zlib.error, ValueError)),
        ("rows", "stream.tables._written", orjson.dumps),
        ("ledger", "stream.ledger.instant_ms", lambda text: text[30]),
        ("time", "tests.fuzz.files.text_ms", lambda text: None if "." in text else text_ms(text)),
    ],
)
def test_a_fault_that_is_put_into_a_decoder_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, place: str, fault: object
) -> None:
    (decoder,) = (one for one in DECODERS if one.name == name)
    monkeypatch.setattr(place, fault)
    with pytest.raises(Finding, match=f"python -m tests.fuzz --seed {SEED} --only {name} --case"):
        fuzz(decoder, SEED, range(3_000))


def broken(content: bytes) -> str:
    """Be a decoder with each kind of fault."""
    if content == b"raise":
        raise KeyError("surprise")
    if content == b"refuse":
        raise ConfigError("That is nothing.")
    if content == b"swell":
        bytearray(17 << 20)
    return ACCEPTED


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"raise", r"broken, seed 1, case 0: KeyError.*surprise"), (b"swell", r"took 17\d+ bytes")],
)
def test_a_finding_names_the_case_and_how_to_run_it_again(content: bytes, what: str) -> None:
    decoder = Decoder("broken", lambda _: content, broken)
    with pytest.raises(Finding, match=what) as found:
        fuzz(decoder, 1, range(2))
    assert content.hex() in str(found.value)
    assert "python -m tests.fuzz --seed 1 --only broken --case 0" in str(found.value)


def test_a_large_case_is_measured_whatever_its_number() -> None:
    def run(_: bytes) -> str:
        bytearray(17 << 20)
        return ACCEPTED

    for size, found in ((SMALL_BYTES_MAX, False), (SMALL_BYTES_MAX + 1, True)):
        decoder = Decoder("broken", lambda _, size=size: bytes(size), run)
        with pytest.raises(Finding, match=r"took 17\d+ bytes") if found else nullcontext():
            fuzz(decoder, 1, range(1, 3))


def test_a_case_that_is_slow_twice_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that compiles something is slow once."""
    monkeypatch.setattr(campaign, "CASE_SECONDS_MAX", 0.05)
    slow = iter([0.1, 0.0, 0.0, 0.1, 0.1])

    def outcome(_: bytes) -> str:
        time.sleep(next(slow))
        return ACCEPTED

    with pytest.raises(Finding, match=r"case 3: took 0\.1 s"):
        fuzz(Decoder("broken", lambda _: b"x", outcome), 1, range(1, 4))


def test_the_table_counts_what_the_cases_came_to() -> None:
    choice = lambda rng: rng.choice([b"refuse", b"else"])  # noqa: E731
    tally = fuzz(Decoder("broken", choice, broken), 1, range(100))
    refused = sum(choice(random.Random(f"broken/1/{n}")) == b"refuse" for n in range(100))
    line = table([tally]).splitlines()[1].split()
    assert line[:4] == ["broken", "100", str(100 - refused), str(refused)]
    assert line[-2:] == ["ConfigError", str(refused)]


def test_mutated_records_are_scanned_to_what_the_slow_way_says() -> None:
    line = fuzz_scans(SEED, range(10))
    assert line.startswith(f"scan: {10 * BATCH} records, ")
    assert int(line.split()[3]) > BATCH


def test_a_scanner_with_a_planted_bug_is_found() -> None:
    held = scans.book()
    scanner = Scanner(held, scans.LIMITS)
    scanner.scan(Records.of_values(batch(SEED, 0)), np.arange(BATCH), None)
    for _, plan in scanner._plans.values():
        plan.tables.choices[codes.STRING_BYTES_MAX] *= 2
    with pytest.raises(Finding, match=r"scan, seed 5, case \d+: AssertionError.*limit"):
        fuzz_scans(SEED, range(50), scanner)
