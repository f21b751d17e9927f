"""A running suite under load, seen through a real Prometheus and a real Alertmanager: `make observe`."""
