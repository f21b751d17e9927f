"""Financial early warning: counts of what a model says, by topic, on a control chart that Prometheus judges."""
