"""The profile: one file, one hash, and which one is in force when."""

import json

import logs
import msgspec
import pytest

from detectors.errors import ConfigError
from detectors.panes import FOREVER
from detectors.profile import Profile, ProfileBook, load, render, seal


def leaves(value: object, path: tuple = ()) -> list[tuple]:
    """List the path of every number and text of a JSON document."""
    if isinstance(value, dict):
        return [leaf for key, one in value.items() for leaf in leaves(one, (*path, key))]
    if isinstance(value, list):
        return [leaf for i, one in enumerate(value) for leaf in leaves(one, (*path, i))]
    return [path]


def changed(text: str, path: tuple) -> str:
    """Change one number or text of a JSON document."""
    document = json.loads(text)
    inside = document
    for key in path[:-1]:
        inside = inside[key]
    old = inside[path[-1]]
    inside[path[-1]] = old + "x" if isinstance(old, str) else not old if old in (0, 1) else old + 1
    return json.dumps(document)


@pytest.fixture(scope="module")
def text() -> str:
    """Render a profile with one stream of each kind."""
    profile = logs.profile()
    kinds = {(bool(s.reference.scores), s.missing): s for s in profile.streams}
    return render(seal(msgspec.structs.replace(profile, streams=tuple(kinds.values()))))


def test_a_profile_survives_its_file() -> None:
    assert load(render(logs.profile()), "memory") == logs.profile()


def test_a_profile_has_a_line_for_each_stream_and_channel() -> None:
    lines = render(logs.profile()).splitlines()
    profile = logs.profile()
    assert sum(line.startswith('    {"slice": ') for line in lines) == len(profile.streams)
    assert sum(line.startswith('    {"name": ') for line in lines) == len(profile.channels)
    assert '  "model": "shop",' in lines


def test_an_edit_of_any_field_is_refused(text: str) -> None:
    paths = [p for p in leaves(json.loads(text)) if p[0] != "schema"]
    assert len(paths) > 200
    for path in paths:
        with pytest.raises(ConfigError):
            load(changed(text, path), "profile.json")


def test_an_edit_says_what_to_do(text: str) -> None:
    with pytest.raises(ConfigError, match=r"profile.json does not fit its hash .* Fit it again"):
        load(changed(text, ("block_events",)), "profile.json")


def test_another_schema_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="has profile schema 2, this driftline reads 1"):
        load(text.replace('"schema": 1', '"schema": 2'), "profile.json")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"not json", b"\xff", b'{"model": "\x80"}', b"null"]
)
def test_what_is_no_profile_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"x\.json is not a driftline profile"):
        load(content, "x.json")


def test_the_hash_is_of_the_content_alone() -> None:
    profile = logs.profile()
    assert seal(msgspec.structs.replace(profile, hash="anything")).hash == profile.hash


def other(block_events: int) -> Profile:
    return seal(msgspec.structs.replace(logs.profile(), block_events=block_events))


def test_the_book_gives_the_latest_profile_not_after_an_events_time() -> None:
    book = ProfileBook()
    first, second = other(60), other(70)
    book.add(second, 2_000)
    book.add(first, 1_000)
    at = [book.at("shop", t) for t in (999, 1_000, 1_999, 2_000, 10**15)]
    assert at == [None, first, first, second, second]
    assert book.at("toys", 5_000) is None
    assert [t for t, _ in book.segments("shop")] == [1_000, 2_000]
    assert book.in_force("shop") == [(first, 1_000, 2_000), (second, 2_000, FOREVER)]
    assert book.in_force("toys") == []


def test_a_later_record_of_the_same_time_wins_and_both_stay_known() -> None:
    book = ProfileBook()
    first, second = other(60), other(70)
    book.add(first, 1_000)
    book.add(second, 1_000)
    assert book.at("shop", 1_000) == second
    assert book.by_hash(first.hash) == first
    assert len(book.segments("shop")) == 1
