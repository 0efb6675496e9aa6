"""Let the tests of this directory import `logs`, the one home of builders and strategies."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
