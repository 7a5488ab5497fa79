"""Tables and metrics of finished runs."""
