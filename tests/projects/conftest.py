"""The projects are run as what they are, each by its own nox, not as part of this suite."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for support/, from here too

collect_ignore = ["notes", "shop", "shop-cached", "shop-python", "shop-usual"]
