"""What others install: scoring images with a finished metric. Imports torch, numpy, pillow and torchmetrics, and nothing
of the other rooms, so that it works wherever the wheel lands.

| file | idea |
|---|---|
| images | decoding and resizing; the clone's `images.py` hands it on |
| scorer | the contract of a metric that is ready to score, and what needs nothing but it |
| exported | a scorer out of a file that `semfid export` wrote |
| pairing | which candidate belongs to which reference |
| folder | scoring of many files: passes of one size, references once, failures collected |
| files | whole files by rename |
| results | CSV, JSON, Parquet; what is done already |
| heatmap | difference maps as pictures |
"""
