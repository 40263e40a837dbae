"""One path for the whole run; new files for each scenario, or for each feature tagged @story.

behave imports the steps, and with them the application, before any hook runs. So the path is set
here and not in a hook.
"""

import os
import sys
from pathlib import Path

import mintfs

database = mintfs.database()
os.environ["DATABASE_URL"] = database.url
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import notes  # noqa: E402


def start_anew():
    notes.engine.dispose()
    database.reset()


def before_feature(context, feature):
    if "story" in feature.tags:
        start_anew()


def before_scenario(context, scenario):
    if "story" not in scenario.effective_tags:
        start_anew()
