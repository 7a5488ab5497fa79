"""Models that paint over objects for the builders.

A file dropped into this folder that registers an Inpainter is available by name.
"""

from data_tools.builders.inpainters.contract import Inpainter as Inpainter
