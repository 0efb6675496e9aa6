"""Every error that driftline raises on purpose, as one tree.

    DriftlineError                   a sentence for the user, and an exit code
    ├── ConfigError            2     the user's mistake: a key, a file, an argument
    ├── StateRefused           3     going on would lie: a gap, a re-cut, lost history
    │   ├── SnapshotCorrupt          bytes of a snapshot or a part do not fit their checksum
    │   └── SnapshotTooNew           written by a later version of driftline
    └── ServiceUnreachable     4     Kafka, a topic or a port is not there

Bad *input* is never an exception: it is a `Reject`, a value.  Anything else that is
raised is a bug, and ends the process with exit code 70.
"""

__all__ = [
    "ConfigError",
    "DriftlineError",
    "ServiceUnreachable",
    "SnapshotCorrupt",
    "SnapshotTooNew",
    "StateRefused",
]


class DriftlineError(Exception):
    """Say in a sentence what went wrong and what to do; carry the exit code.

    >>> ConfigError("There is no file reference.csv.").exit_code
    2
    """

    exit_code = 70


class ConfigError(DriftlineError):
    """Report a mistake that the user can mend."""

    exit_code = 2


class StateRefused(DriftlineError):
    """Refuse to go on from a state or a log that would give a wrong answer."""

    exit_code = 3


class SnapshotCorrupt(StateRefused):
    """Refuse bytes that do not fit their checksum or their format."""


class SnapshotTooNew(StateRefused):
    """Refuse a format that a later version of driftline wrote."""


class ServiceUnreachable(DriftlineError):
    """Report that a service driftline needs does not answer."""

    exit_code = 4
