"""What the runs of a table were made with: the settings that differ between variants, and where each run comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from engine.report.page_content import Differences, ProvenanceTable

ABSENT = "–"
# seeds are averaged; the rest says where things lie and how they are reported
NOT_COMPARED = ("seed", "choices", "name", "output", "cache", "evaluation", "baselines", "plugins")
NOT_SHOWN = ("seed",)  # has a column of its own


def flatten(value: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Dotted key to text. Lists are one value."""
    result: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            result.update(flatten(item, f"{prefix}{key}."))
        else:
            result[f"{prefix}{key}"] = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    return result


def differing(configs: Mapping[str, Mapping[str, object]]) -> Differences:
    """The keys whose values are not the same in all variants.

    Args:
        configs: variant to its configuration.
    """
    flat = {
        name: flatten({key: value for key, value in config.items() if key not in NOT_COMPARED})
        for name, config in configs.items()
    }
    keys = list(dict.fromkeys(key for values in flat.values() for key in values))
    keys = [key for key in keys if len({values.get(key) for values in flat.values()}) > 1]
    return {
        "keys": keys,
        "rows": [
            {"variant": name, "values": [values.get(key, ABSENT) for key in keys]} for name, values in flat.items()
        ],
    }


def provenance_table(runs: Sequence[tuple[str, int, Mapping[str, object]]]) -> ProvenanceTable:
    """Facts of all runs; those that all share are said once.

    Args:
        runs: (variant, seed, content of provenance.json).
    """
    flat = [flatten({key: value for key, value in facts.items() if key not in NOT_SHOWN}) for _, _, facts in runs]
    keys = list(dict.fromkeys(key for facts in flat for key in facts))
    shared = [key for key in keys if len({facts.get(key) for facts in flat}) == 1]
    own = [key for key in keys if key not in shared]
    return {
        "same": [[key, flat[0][key]] for key in shared],
        "keys": own,
        "rows": [
            {"variant": name, "seed": seed, "values": [facts.get(key, ABSENT) for key in own]}
            for (name, seed, _), facts in zip(runs, flat, strict=True)
        ],
    }
