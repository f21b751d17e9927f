"""What several tests share."""

import os

# Services on loopback, without certificates, where it is not about these: for every process that is started from here.
os.environ.setdefault("SYMBIONT_INSECURE", "true")
