"""A generated log of loans, an event every nine minutes, in which five of eight things change.

From event `at` on, `price` and `term` rise, a band of `income` nearly vanishes, more customers are
`returning`, and the score keeps its mean but changes its shape.  `ratio`, `years` and `deposit`
stay as they are.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

START_SECONDS = 1_514_764_800
STEP_SECONDS = 540
CHANGED = (
    "feature:price",
    "feature:term",
    "feature:income",
    "feature:returning",
    "prediction",
)
SAME = ("feature:ratio", "feature:years", "feature:deposit")
INCOMES = ("0 - 20K", "20K - 40K", "40K - 60K", "60K+")
DEPOSITS = ("0%", "10%", "20%")


def _columns(draw: np.random.Generator, n: int, *, later: bool) -> dict[str, list[Any]]:
    """Draw n events of before or after the change, as columns."""
    price = np.exp(draw.normal(10.6 if later else 10.2, 0.4, n)).round()
    incomes = (0.5, 0.35, 0.14, 0.01) if later else (0.45, 0.3, 0.15, 0.1)
    score = draw.beta(0.6, 0.6, n) if later else draw.beta(2.0, 2.0, n)
    return {
        "price": price.tolist(),
        "ratio": np.where(draw.random(n) < 0.02, np.nan, draw.gamma(4.0, 0.15, n)).tolist(),
        "term": draw.poisson(16.0 if later else 14.0, n).astype(float).tolist(),
        "years": draw.integers(0, 45, n).astype(float).tolist(),
        "income": [INCOMES[i] for i in draw.choice(4, n, p=incomes).tolist()],
        "deposit": [DEPOSITS[i] for i in draw.choice(3, n, p=(0.3, 0.5, 0.2)).tolist()],
        "returning": (draw.random(n) < (0.75 if later else 0.55)).tolist(),
        "score": score.tolist(),
    }


def lines(n: int, seed: int, *, first: int = 0, at: int | None = None) -> Iterator[bytes]:
    """Write n events as JSON lines; `first` events lie before them, the change at event `at`."""
    draw = np.random.default_rng(seed)
    split = n if at is None else at
    halves = [_columns(draw, split, later=False), _columns(draw, n - split, later=True)]
    columns = {name: halves[0][name] + halves[1][name] for name in halves[0]}
    scores = columns.pop("score")
    # orjson writes NaN as null, which is a missing value.
    for i in range(n):
        features = {name: column[i] for name, column in columns.items()}
        event = {
            "time": START_SECONDS + (first + i) * STEP_SECONDS,
            "model": "loans",
            "features": features,
            "prediction": scores[i],
            "segments": {"income": features["income"]},
        }
        yield orjson.dumps(event) + b"\n"
