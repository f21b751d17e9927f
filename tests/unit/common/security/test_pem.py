"""Private keys in PEM: whatever is none is said in one way."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from symbiont.common.security.pem import private_key_of

KEY = ec.generate_private_key(ec.SECP256R1())
# Found by chance: bytes of an Ed25519 key that say they are of X448. OpenSSL has no word for it.
ODD = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VvBCIEIMXf+Zh5qtwKhRCk/KNFFsK+IZzhxf88NhGFSKxUA9i2
-----END PRIVATE KEY-----
"""


def test_a_key_is_read() -> None:
    content = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert private_key_of(content).public_key() == KEY.public_key()


@pytest.mark.parametrize(
    "content",
    [b"", b"x", ODD, KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))],
    ids=["empty", "text", "odd", "encrypted"],
)
def test_what_is_none_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"key|PEM"):
        private_key_of(content)
