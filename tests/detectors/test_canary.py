"""Text of events that the profile does not name goes nowhere: not into parts, alerts, state."""

import zlib

import logs
import msgspec
import numpy as np
from logs import SEMANTICS

from detectors.alert import Alert, encode
from detectors.events import Event
from detectors.monitor import Monitor
from stream.checkpoint import pack

CANARIES = ("jane.doe@example.com", "4111 1111 1111 1111", "sk_live_51H8x")


def planted(log: list[Event]) -> list[Event]:
    """Put a canary into a tenth of the events: as a category, a segment, an unknown feature."""
    draw = np.random.default_rng(4)
    hit = (draw.random(len(log)) < 0.1).tolist()
    mail, card, token = CANARIES
    return [
        msgspec.structs.replace(
            event,
            features=event.features | {"plan": mail, "age": card, token: token},
            segments={"country": card, token: mail},
            id=mail,
        )
        if found
        else event
        for event, found in zip(log, hit, strict=True)
    ]


def test_a_canary_in_the_events_shows_nowhere() -> None:
    book = logs.book(logs.profile())
    parts = logs.parts_of_file(planted(logs.events(10_000, seed=6)), book)
    monitor = Monitor(book, SEMANTICS)
    effects = logs.effects(monitor, parts)
    assert any(isinstance(effect, Alert) for effect in effects), "the unseen category is told of"
    state = monitor.snapshot()
    leaves = [part.encode() for part in parts] + [encode(effect) for effect in effects]
    leaves += [
        zlib.decompress(pack(chunk)[1:]) for chunk in (state.sources, *state.models.values())
    ]
    for canary in CANARIES:
        assert not [leaf for leaf in leaves if canary.encode() in leaf]
