"""The projects' own tests are run by their own nox, not as part of this suite."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for support/, also if pytest starts here

collect_ignore = ["notes", "shop", "shop-cached", "shop-python", "shop-usual"]
