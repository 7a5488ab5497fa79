"""What spoils a photo before it is super-resolved: blur, resizing, noise, compression.

A file dropped into this folder that registers a degradation is available by name everywhere.
"""
