"""Tokens of a real issuer: believed when they are, refused when they are anything else."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from support.issuer import AUDIENCE, LittleIssuer, pem, public_pem
from support.waiting import until
from symbiont.common.background import running
from symbiont.common.errors import PermissionDenied, Unauthenticated, Unavailable
from symbiont.common.principal import Principal, Role
from symbiont.common.security.issuer import Issuer, check_url
from symbiont.common.security.tokens import TokenRules, Tokens

RULES = TokenRules(AUDIENCE)


@asynccontextmanager
async def believing(issuer: LittleIssuer, rules: TokenRules = RULES) -> AsyncIterator[Tokens]:
    """A verifier that has fetched the issuer's keys."""
    keys = Issuer(issuer.url, refresh_s=60, least_s=0.05)
    async with running("issuer", keys.follow):
        await until(lambda: has_keys(keys))
        yield Tokens(keys, rules)


def has_keys(issuer: Issuer) -> bool:
    try:
        return bool(issuer.keys)
    except Unavailable:
        return False


async def test_a_token_says_who_calls() -> None:
    with LittleIssuer() as issuer:
        async with believing(issuer) as tokens:
            ana = Principal("ana", "acme", frozenset({Role.TRAINER}))
            token = issuer.token()
            assert tokens.principal(token) == ana
            # Known, and not verified a second time.
            assert tokens.principal(token) is tokens.principal(token)
            # Without a tenant it is the installation's own.
            assert tokens.principal(issuer.token(tenant=None)).tenant == ""


def unsigned(claims: dict[str, Any], algorithm: str, key: bytes = b"") -> str:
    """Makes a token as an attacker would, whose library refuses to."""
    parts = [{"alg": algorithm, "typ": "JWT", "kid": "first"}, claims]
    body = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = hmac.new(key, body, hashlib.sha256).digest() if key else b""
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def attacks(issuer: LittleIssuer) -> dict[str, str]:
    """Returns tokens that must not be believed, by what is wrong with them."""
    stranger = rsa.generate_private_key(65537, 2048)
    head, body, signature = issuer.token().split(".")
    other = base64.urlsafe_b64encode(json.dumps(issuer.claims(sub="eve")).encode()).rstrip(b"=").decode()
    return {
        "expired": issuer.token(exp=1_700_000_000),
        "not yet": issuer.token(nbf=4_000_000_000),
        "no end": issuer.token(exp=None),
        "another audience": issuer.token(aud="elsewhere"),
        "no audience": issuer.token(aud=None),
        "another issuer": issuer.token(iss="https://elsewhere"),
        "nobody": issuer.token(sub=None),
        "a stranger's key": jwt.encode(issuer.claims(), pem(stranger), "RS256", headers={"kid": "first"}),
        "other claims under the same signature": f"{head}.{other}.{signature}",
        "no signature": f"{head}.{body}.",
        "alg none": unsigned(issuer.claims(), "none"),
        "the public key as a secret": unsigned(issuer.claims(), "HS256", public_pem(issuer.keys["first"])),
        "another algorithm than its key's": jwt.encode(
            issuer.claims(), pem(issuer.keys["first"]), "PS256", headers={"kid": "first"}
        ),
        "no token": "not-a-token",
        "endless": "x" * 10_000,
    }


async def test_what_is_no_good_token_is_refused() -> None:
    rules = TokenRules(AUDIENCE, ("RS256", "PS256"))
    with LittleIssuer() as issuer:
        async with believing(issuer, rules) as tokens:
            for what, token in attacks(issuer).items():
                with pytest.raises(Unauthenticated):
                    pytest.fail(f"{what}: {tokens.principal(token)}")


async def test_roles_are_named_and_those_of_parts_are_not_given() -> None:
    rules = TokenRules(AUDIENCE, roles="realm.roles", role_names={"mlops": Role.TRAINER, "root": Role.SERVICE})
    with LittleIssuer() as issuer:
        async with believing(issuer, rules) as tokens:
            token = issuer.token(roles=None, realm={"roles": ["mlops", "root", "cook"]})
            assert tokens.principal(token).roles == {Role.TRAINER}
            with pytest.raises(PermissionDenied, match=r"realm\.roles"):
                tokens.principal(issuer.token(realm={"roles": ["root"]}))


async def test_a_known_token_is_believed_until_it_expires() -> None:
    now = [1_000.0]
    with LittleIssuer() as issuer:
        keys = Issuer(issuer.url, least_s=0.05)
        async with running("issuer", keys.follow):
            await until(lambda: has_keys(keys))
            tokens = Tokens(keys, TokenRules(AUDIENCE, clock_skew_s=30), lambda: now[0])
            token = issuer.token()
            assert tokens.principal(token).name == "ana"
            now[0] = issuer.claims()["exp"] + 29
            assert tokens.principal(token).name == "ana"
            # Verified anew by the clock of this machine, by which it has not expired.
            now[0] = issuer.claims()["exp"] + 100
            first = tokens.principal(token)
            assert first == tokens.principal(token)
            assert first is not tokens.principal(token)


async def test_a_new_key_is_fetched_and_an_old_one_forgotten() -> None:
    with LittleIssuer() as issuer:
        async with believing(issuer) as tokens:
            before = issuer.token()
            assert tokens.principal(before).name == "ana"
            issuer.rotate("second")
            after = issuer.token()
            with pytest.raises(Unavailable, match="try again"):
                tokens.principal(after)
            await until(lambda: believed(tokens, after))
            with pytest.raises((Unavailable, Unauthenticated)):
                tokens.principal(before)


def believed(tokens: Tokens, token: str) -> bool:
    try:
        return bool(tokens.principal(token))
    except Unavailable:
        return False


def refusal(tokens: Tokens, token: str) -> str:
    with pytest.raises((Unavailable, Unauthenticated)) as caught:
        tokens.principal(token)
    return str(caught.value)


async def test_keys_that_nobody_has_do_not_make_it_ask_the_issuer_each_time() -> None:
    with LittleIssuer() as issuer:
        async with believing(issuer) as tokens:
            asked = issuer.asked["/keys"]
            for number in range(200):
                token = jwt.encode(issuer.claims(), issuer.keys["first"], "RS256", headers={"kid": str(number)})
                with pytest.raises((Unavailable, Unauthenticated)):
                    tokens.principal(token)
            await until(lambda: issuer.asked["/keys"] > asked)
            await until(lambda: "no such key" in refusal(tokens, token))
            assert issuer.asked["/keys"] == asked + 1


async def test_an_issuer_that_is_away_makes_tokens_wait() -> None:
    away = Issuer("http://127.0.0.1:1")
    async with running("issuer", away.follow):
        with pytest.raises(Unavailable, match="not there yet"):
            Tokens(away, TokenRules(AUDIENCE)).principal("x.y.z")


@pytest.mark.parametrize("url", ["http://issuer.example", "ftp://127.0.0.1", "issuer.example"])
def test_an_issuer_is_asked_by_tls(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        check_url(url)
    assert check_url("https://issuer.example") == "https://issuer.example"
