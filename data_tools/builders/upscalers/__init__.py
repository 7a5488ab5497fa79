"""Super-resolution models that make images for the builders.

A file dropped into this folder that registers an Upscaler is available by name.
"""

from data_tools.builders.upscalers.contract import Upscaler as Upscaler
