"""Settings that every test needs before the libraries are imported."""

import os

# The models of most tests are tiny: threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
# No test reaches a hub.
os.environ["HF_HUB_OFFLINE"] = "1"
