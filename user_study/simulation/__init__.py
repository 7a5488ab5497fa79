"""People who do not exist, and take part by the real interface: demo data, the end-to-end test, and the load of benchmarks."""
