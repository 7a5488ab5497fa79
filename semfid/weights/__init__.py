"""The default metric's weights. Written by `engine.default_metric_file.install_default_metric`."""

FILE = "default_metric.pt"
SHA256 = "c48e85a17db530d5a983d9870365dc8ff79d972d1503042c7f55c960360b4790"
