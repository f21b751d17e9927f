"""The whole suite on one machine: its processes, their folder, and what the machine must have."""
