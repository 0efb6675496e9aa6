"""What a new level is fitted from: the latest profile, and the summaries that are like its own."""

from typing import Any

import logs
import msgspec
import pytest
from logs import START_MS

from detectors.errors import ConfigError
from detectors.profile import Profile, seal
from stream.accepting import _entries, _in_force, _stream


def alert(profile: Profile, **fields: Any) -> dict[str, Any]:
    body = {"id": "a1", "model": "shop", "profile": profile.hash}
    return body | {"channel": "feature:amount", "slice": {"country": "DE"}} | fields


def changed(**fields: Any) -> Profile:
    return seal(msgspec.structs.replace(logs.profile(), **fields))


def test_a_level_is_accepted_upon_the_latest_profile_even_if_it_is_not_in_force_yet() -> None:
    """Two alerts may be accepted one after the other, and both stay accepted."""
    second = changed(parent=logs.profile().hash)
    book = logs.book(logs.profile())
    book.add(second, START_MS + 10**12)
    assert _in_force(book, alert(logs.profile())) == (second, {logs.profile().hash, second.hash})


@pytest.mark.parametrize("fields", [{"slices": ({},)}, {"bucket_seconds": 30}])
def test_an_alert_of_a_profile_with_other_bins_or_slices_is_refused(fields: Any) -> None:
    """Its summaries would be read wrongly."""
    book = logs.book(logs.profile())
    book.add(changed(**fields), START_MS)
    with pytest.raises(ConfigError, match=r"a1 is about profile .* other bins or slices"):
        _in_force(book, alert(logs.profile()))


def test_the_stream_of_an_alert_is_found_by_its_channel_and_slice() -> None:
    """An alert that names no stream of the profile is refused."""
    profile = logs.profile()
    found = profile.streams[_stream(profile, alert(profile))]
    assert (
        profile.stream_name(found),
        profile.slices[found.slice],
    ) == ("feature:amount", {"country": "DE"})
    with pytest.raises(ConfigError, match="no stream feature:none"):
        _stream(profile, alert(profile, channel="feature:none"))


def test_repeated_parts_count_once_and_the_slowest_partition_sets_the_time() -> None:
    """The log is read as it is: with repeats, and partitions that are ahead of others."""
    book = logs.book(logs.profile())
    spread = logs.topic(logs.events(500, seed=3), 3, seed=1)
    parts = [part for partition in logs.parts_of_topic(spread, book) for part in partition]
    values = [part.encode() for part in parts]
    entries, horizon_ms = _entries([*values, *values], {logs.profile().hash})
    assert sum(entry.events for entry in entries) == sum(p.header.accepted for p in parts)
    last = {p.header.partition: p.header.w_after for p in parts}
    assert horizon_ms == min(last.values())
    assert _entries(values, set())[0] == []
