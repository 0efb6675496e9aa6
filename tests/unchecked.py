"""Run a role that does not ask for its rights first: the broker refuses it in its work.

`python -m tests.unchecked ROLE CONFIG`
"""

import sys

from driftline import cli
from stream import topics


def main(role: str, config: str) -> int:
    """Run it until it ends; give its exit code."""
    topics.check_access = lambda *_: None
    return cli.run(["worker", "--only", role, "-c", config])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
