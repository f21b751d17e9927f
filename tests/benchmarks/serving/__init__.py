"""The parts of bench_serving: workloads, load generator, the servers that are compared, the suite, and the table."""
