"""The web platform that collects human judgements of semantic difference.

Stands apart from the training code: it shares the pair table alone, and never imports torch.
"""
