"""The default metric's weights. Written by `engine.default_metric_file.install_default_metric`."""

FILE = "default_metric.pt"
SHA256 = "ed6ae6fe67224dca565a577e03397fe76c22e9d1cd1584b49a6f2fcedfe00a5c"
