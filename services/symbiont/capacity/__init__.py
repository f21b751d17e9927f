"""How many bundles a host on this machine holds, and how much it answers: measured, with the arithmetic shown."""
