"""Write assets/towers/scenes_mean.safetensors: the mean embedding of rendered scenes in scenes_tower.

    python tools/make_scenes_mean.py [--scenes 512]

To be run again whenever the tower's weights change: a mean of other weights is refused.
"""

import argparse
import tempfile
from pathlib import Path

from data_tools.synthetic import SceneSetConfig, write_image_folder
from models.concepts.modality_gap import NAMED, image_mean
from models.dual_encoders import build_dual_encoder
from semfid.io.files import write_whole

SEED = 7007  # a world that no experiment here uses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_image_folder(Path(folder), SceneSetConfig(scenes=arguments.scenes, seed=SEED), lambda done, total: None)
        mean = image_mean(build_dual_encoder("scenes_tower", {}), folder, cache=None)
    mean = type(mean)(mean.tower, f"{arguments.scenes} scenes of seed {SEED}", mean.vector)
    write_whole(NAMED["scenes"], mean.content())
    print(f"{NAMED['scenes']}: {mean.source}, {mean.tower}, length {float((mean.vector**2).sum() ** 0.5):.3f}")


if __name__ == "__main__":
    main()
