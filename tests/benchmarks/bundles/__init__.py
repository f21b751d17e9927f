"""The parts of bench_bundles: bundles made in bulk, who draws them, and what PEFT does with as many."""
