"""How large a proof is: small in every run of the tests, whole in `make proofs`."""

import os


def size(name: str, small: int, whole: int) -> int:
    """Returns what SYMBIONT_PROOF_<name> says, else `whole` where SYMBIONT_PROOFS is `whole`, else `small`."""
    usual = whole if os.environ.get("SYMBIONT_PROOFS") == "whole" else small
    return int(os.environ.get(f"SYMBIONT_PROOF_{name}", usual))


def seed() -> int:
    """Returns where chance begins: SYMBIONT_PROOF_SEED, or 0."""
    return int(os.environ.get("SYMBIONT_PROOF_SEED", "0"))
