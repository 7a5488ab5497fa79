"""The run hashes of experiments stay as they are: a finished run is found again, whatever becomes of the code."""

from __future__ import annotations

import hashlib

import pytest
from experiment_support import in_the_clone  # noqa: F401 - a fixture
from run_support import ROOT

from engine.config.expansion import expand
from engine.config.pretraining_section import pretraining_config
from engine.config.reading import load_experiment
from engine.runs.baselines import baseline_variants
from engine.runs.run_folder import run_hash

# first variant; how many hashes of variants, pretrainings and baselines; digest of all. Made before configuration was typed.
HASHES = {
    "backbones_scenes": ("7a6299af", 146, "3e95eae1cddfdba2"),
    "pretraining_scenes": ("78d70810", 137, "2b3df63d2cdfbe10"),
    "regressor_user_study": ("d3427f7c", 56, "95f1032d1a62aa39"),
    "clu_sr_maps": ("ba429bab", 146, "bea333e789affb42"),
    "clu_scenes": ("3dd5134a", 5, "eac909ffd7c9707b"),
    "training_free_scenes": ("a5909fab", 9, "78b8ed744d0b8c0b"),
    "study_simulated": ("192bcc48", 8, "49e2239d424f5a8a"),
    "concepts_scenes": ("b0ce07e6", 11, "bd2f4a77645290b0"),
    "scenes_trunk": ("3d95180a", 1, "0609c7fa4d01138c"),
}


@pytest.mark.parametrize("name", HASHES)
def test_hashes_are_those_of_finished_runs(name: str) -> None:
    file = ROOT / "experiments" / f"{name}.yaml"
    experiment = load_experiment(file)
    variants = [variant.config for variant in expand(experiment, str(file))]
    pretrainings = [pretraining_config(config, own) for config in variants for own in config.pretraining]
    baselines = [variant.config for variant in baseline_variants(variants[0], experiment.baselines)]
    hashes = [run_hash(config, "d") for config in (*variants, *pretrainings, *baselines)]
    digest = hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:16]
    assert (hashes[0], len(hashes), digest) == HASHES[name]
