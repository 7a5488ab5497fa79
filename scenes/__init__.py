"""The embedded world: rendered scenes, edits that change their meaning, degradations that do not, a panel that votes.

It makes every experiment runnable without a download: `write_pair_set` for training and evaluation, `write_coco_set`
and `write_image_folder` in place of photo collections. All is deterministic: scene `i` of seed `s` is the same
whatever the count, order, process or size of the batch.
"""

from scenes.captions import caption
from scenes.categories import CATEGORIES, Category
from scenes.dataset import Pair, scene_pairs, write_pair_set
from scenes.degradations import DEGRADATIONS, degrade
from scenes.edits import EDITS, UNCHANGED, edit
from scenes.exports import write_coco_set, write_image_folder
from scenes.panel import Question, panel, true_rate
from scenes.regions import write_region_set
from scenes.render import Rendered, render
from scenes.sampling import sample_scene
from scenes.specs import ObjectSpec, SceneSpec
from scenes.store import SceneSetConfig

__all__ = [
    "CATEGORIES",
    "DEGRADATIONS",
    "EDITS",
    "UNCHANGED",
    "Category",
    "ObjectSpec",
    "Pair",
    "Question",
    "Rendered",
    "SceneSetConfig",
    "SceneSpec",
    "caption",
    "degrade",
    "edit",
    "panel",
    "render",
    "sample_scene",
    "scene_pairs",
    "true_rate",
    "write_coco_set",
    "write_image_folder",
    "write_pair_set",
    "write_region_set",
]
