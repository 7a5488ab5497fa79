"""Synthetic scenes: rendered images, edits that change their meaning, degradations that do not, simulated raters.

It makes every experiment runnable without a download: `write_pair_set` for training and evaluation, `write_coco_set`
and `write_image_folder` in place of photo collections. All is deterministic: scene `i` of seed `s` is the same
whatever the count, order, process or size of the batch.
"""

from data_tools.synthetic.captions import caption
from data_tools.synthetic.categories import CATEGORIES, Category
from data_tools.synthetic.dataset import Pair, scene_pairs, write_pair_set
from data_tools.synthetic.degradations import DEGRADATIONS, degrade
from data_tools.synthetic.edits import EDITS, UNCHANGED, edit
from data_tools.synthetic.exports import write_coco_set, write_image_folder
from data_tools.synthetic.raters import Question, panel, true_rate
from data_tools.synthetic.regions import write_region_set
from data_tools.synthetic.render import Rendered, render
from data_tools.synthetic.sampling import sample_scene
from data_tools.synthetic.scene_spec import ObjectSpec, SceneSpec
from data_tools.synthetic.store import SceneSetConfig

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
