"""The web platform that collects human judgements of semantic difference.

Separate from the training code: of this project it imports `semfid` alone, and it never imports torch.
"""
