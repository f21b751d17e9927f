"""Industry solutions: declarative recipes over the suite's own parts, from raw files to a served, monitored model."""
