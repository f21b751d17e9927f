"""Who a process is and whom it believes: TLS with certificates of its own, callers' certificates and tokens."""
