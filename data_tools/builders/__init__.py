"""Builders of data sets: photos and what became of them, as files, a pair table and its provenance.

A file dropped into this folder that registers an inpainter or an upscaler is available by name everywhere. The shared core:
`units` (what is to be made), `running` (making it), `journal` and `folder` (what was made), `merging` (the tables),
`verifying`, `sharding`, `settings`, `estimating`.
"""
