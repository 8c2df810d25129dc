"""What this agent can do, by name: what it is written to do, and the tasks that are installed beside it."""

import re
from functools import cache

from edgefleet_process.installed import brought
from edgefleet_profiles.names import NAME_PATTERN
from edgefleet_protocol.features import FEATURES, FIRST_TASK, OWN_TASKS, task_feature
from edgefleet_protocol.messages import MAX_FEATURES

TASKS = "edgefleet.tasks"
"""The entry points by which packages bring tasks."""
MOST = MAX_FEATURES - len(FEATURES)


@cache
def own_features() -> frozenset[str]:
    """The features to report.

    A task of a plug-in is told by its name alone, since the supervisor loads none: one that does not load fails the
    self-test of its first variant, with the reason.
    """
    plugins = {entry.name for entry in brought(TASKS).entries}
    features = (task_feature(name) for name in {*OWN_TASKS, *plugins} - {FIRST_TASK})
    return FEATURES | set(sorted(one for one in features if re.match(NAME_PATTERN, one))[:MOST])
