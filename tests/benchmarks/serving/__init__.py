"""The parts of bench_serving: workloads, load generator, the servers that are compared, and the table."""
