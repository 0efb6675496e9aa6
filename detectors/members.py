"""Members: which streams take part in an incident, beyond those that alarmed.

Source: Dandapanthula & Ramdas 2025, arXiv 2501.04130 (e-d-BH).
"""

from collections.abc import Sequence

import numpy as np

__all__ = ["members_at"]

_MEMBER_LEVEL = 0.05


def members_at(strengths: Sequence[float]) -> list[int]:
    """List the streams of the largest k of which k have a strength of 0.05 / k or more.

    Strength 1 is the stream's alarm, .55 A_i over its 90 % for scores; the level of a member is
    about A_i / (33 k), which of 20 streams that changed lists 9 ten blocks later and hardly ever
    another (`driftline bench alarms members`).  The strongest come first.

    >>> members_at([0.001, 1.2, 0.06, 0.04])
    [1, 2, 3]
    """
    every = np.asarray(strengths)
    order = np.argsort(-every, kind="stable")
    passing = np.flatnonzero(every[order] * np.arange(1, len(order) + 1) >= _MEMBER_LEVEL)
    members: list[int] = order[: passing[-1] + 1 if len(passing) else 0].tolist()
    return members
