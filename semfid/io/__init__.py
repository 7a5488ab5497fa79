"""Files in and out. The wheel holds what scoring needs; the rest is the clone's.

| file | idea |
|---|---|
| images, decoding, metadata | an image file of any kind opened, upright, as RGB, or one reason why not |
| profiles, fitting | colour profiles of a pair; two images of which one was cut |
| listing, file_pairs | the images of a folder; which candidate belongs to which reference |
| tables | CSV tables that people bring |
| arrays, files, jsonl | .npy files; whole files by rename; ledgers of JSON lines |
| system_faults | the system's errors in words that help |
| *pair_table* | the one schema of labelled pairs (the clone's) |
| *maps, coco_file, torch_files, yaml_file* | further formats (the clone's) |
| *vector_cache, locks, sharding* | what several processes share (the clone's) |
"""

from __future__ import annotations

from semfid.io.file_pairs import FilePair, Pairing, pair_files, read_pair_table

__all__ = ["FilePair", "Pairing", "pair_files", "read_pair_table"]
