"""The ledger finds what was said by the first letters of its id, and counts what was answered."""

from typing import Any

import pytest

from detectors.alert import instant
from detectors.errors import ConfigError
from stream.feedback import spent
from stream.ledger import Ledger

DAY_MS = 86_400_000
NOW_MS = 20_500 * DAY_MS


def alert(one: str, revision: int = 0, incident: str = "i" * 32, **fields: Any) -> dict[str, Any]:
    body = {"id": one, "revision": revision, "incident": incident, "status": "firing"}
    return {"alert": body | {"summary": f"{one} moved"} | fields, "provenance": {}}


def incident(one: str, days_ago: float, *alerts: str, model: str = "fraud") -> dict[str, Any]:
    return {
        "id": one,
        "revision": 0,
        "status": "firing",
        "time": instant(round(NOW_MS - days_ago * DAY_MS)),
        "model": model,
        "alerts": list(alerts),
        "summary": f"{one} opened",
    }


def answer(one: str, verdict: str, at: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {"schema": 1, "id": one, "verdict": verdict, "time": at, "note": "", "model": "fraud"}


def ledger(*records: dict[str, Any]) -> Ledger:
    book = Ledger()
    for record in records:
        book.take(record)
    return book


def test_an_id_is_found_by_its_first_letters_with_its_revisions_in_order() -> None:
    """Records that came twice or out of order count once, in order."""
    book = ledger(alert("ab12", 1, status="resolved"), alert("ab12"), alert("ab12"), alert("cd34"))
    found = book.find("AB")
    assert (found.kind, found.id) == ("alert", "ab12")
    assert [r["revision"] for r in found.revisions] == [0, 1]
    assert found.last["status"] == "resolved"


def test_an_id_that_is_not_clear_is_refused_with_the_candidates() -> None:
    """The message names each candidate and what it says."""
    book = ledger(alert("ab12"), incident("ab99", 1))
    with pytest.raises(ConfigError, match=r"any of 2: ab12 \(alert: ab12 moved\); ab99 \(incident"):
        book.find("ab")


def test_an_unknown_id_is_refused() -> None:
    """The message says where ids are listed."""
    with pytest.raises(ConfigError, match=r"begins with ab.*alerts tail"):
        ledger(alert("cd34")).find("ab")


def test_feedback_on_an_alert_is_feedback_on_its_incident_and_the_other_way_round() -> None:
    """The latest answer to either is the incident's."""
    book = ledger(
        incident("i1", 1, "a1", "a2"),
        alert("a1", incident="i1"),
        alert("a2", incident="i1"),
        answer("a2", "false", "2026-01-02T00:00:00Z"),
        answer("i1", "real", "2026-01-01T00:00:00Z"),
    )
    assert [a["verdict"] for a in book.answers(book.find("i1"))] == ["real", "false"]
    assert [a["verdict"] for a in book.answers(book.find("a1"))] == ["real"]
    assert [a["id"] for a in book.latest_alerts(book.find("i1"))] == ["a1", "a2"]


def test_the_budget_counts_incidents_by_age_and_by_what_was_said() -> None:
    """Seven and 28 days of event time, up to the latest event."""
    book = ledger(
        incident("i1", 1, "a1"),
        incident("i2", 6.9),
        incident("i3", 8),
        incident("i4", 27.9),
        incident("i5", 29),
        answer("a1", "false"),
        answer("i3", "expected"),
        answer("i4", "real"),
    )
    quiet, fraud = sorted(spent(book, ["fraud", "abc"], 0.5, NOW_MS), key=lambda s: s.model)
    assert (fraud.model, fraud.week, fraud.opened) == ("fraud", 2, 4)
    assert dict(fraud.verdicts) == {"false": 1, "expected": 1, "real": 1, "": 1}
    assert fraud.attained == (0.5, 1.0)
    assert (quiet.opened, quiet.attained) == (0, (0.0, 0.0))


def test_an_incident_of_a_model_without_a_profile_is_counted_all_the_same() -> None:
    """A profile may have gone from the control topic; what was said has not."""
    (only,) = spent(ledger(incident("i1", 1, model="old")), [], 1.0, NOW_MS)
    assert (only.model, only.week) == ("old", 1)
