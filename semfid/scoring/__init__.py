"""What others install: scoring images with a finished metric. Imports torch, numpy, pillow, scipy and torchmetrics, and
nothing of the other rooms, so that it works wherever the wheel lands.

| file | idea |
|---|---|
| images | decoding to RGB and resizing; the clone's `images.py` hands it on |
| decoding, metadata | a file of any kind opened, upright, or one reason why not; notes that Pillow stumbles over |
| profiles, fitting | colour profiles of a pair; two images of which one was cut |
| listing | the one way to list the images of a folder |
| scorer | the contract of a metric that is ready to score, and what needs nothing but it |
| exported | a scorer out of a file that `semfid export` wrote |
| default_metric | the metric that ships inside the package, and others of its kind |
| efficientnet_lite, tiles | its backbone; layers over a large image, tile by tile |
| statistics, local_evidence | what is made of two images' features, shared with the clone's heads |
| predictors | from these to a score and a map |
| regions | the places of a map that contribute most |
| pairing | which candidate belongs to which reference |
| folder | scoring of many files: passes of one size, references once, failures collected |
| files | whole files by rename |
| results | CSV, JSON, Parquet; what is done already |
| heatmap | difference maps as pictures |
| text/ | the words of two images; needs the extra `text` |
"""
