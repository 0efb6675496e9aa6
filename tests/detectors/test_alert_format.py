"""The published description (docs/formats/alerts.md) names every field that a record has."""

import re
from pathlib import Path

import msgspec
import pytest

from detectors.alert import Alert, AlertEffect, CauseShare, Incident, Member, Metric

DOCUMENT = Path(__file__).parents[2] / "docs" / "formats" / "alerts.md"


def section(title: str) -> str:
    """Give the text of one section."""
    return re.split(rf"^## {title}\n", DOCUMENT.read_text(), flags=re.MULTILINE)[1].split("\n## ")[
        0
    ]


@pytest.mark.parametrize(
    ("title", "kinds"),
    [
        ("Alert", (Alert, AlertEffect)),
        ("Incident", (Incident, CauseShare, Member)),
        ("Metric", (Metric,)),
    ],
)
def test_every_field_of_a_record_is_described(title: str, kinds: tuple[type, ...]) -> None:
    """A field that was added is written down."""
    told = set(re.findall(r"`(\w+)`", section(title)))
    fields = {f.encode_name for kind in kinds for f in msgspec.structs.fields(kind)}
    assert fields - told == set()
