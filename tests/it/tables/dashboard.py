"""Reads a dashboard as Grafana's own model of it does, and demands that nothing of it is lost: dashboard.py FILE"""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(given, kept, place):
    """Places of what is not the same in the model."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [found for key in given for found in lost(given[key], kept.get(key), f"{place}.{key}")]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [found for at, (one, other) in enumerate(zip(given, kept)) for found in lost(one, other, f"{place}[{at}]")]
    return [] if given == kept else [place]


plugins.register_default_plugins()
with open(sys.argv[1]) as file:
    dashboard = json.load(file)
model = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))
unknown = lost(dashboard, model, "")
assert not unknown, f"Grafana does not know {unknown}"
print(f"{len(model['panels'])} panels")
