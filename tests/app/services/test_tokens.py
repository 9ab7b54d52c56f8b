"""API tokens: made, used, expired, revoked."""

import pytest
from sqlalchemy import select, update

from app.core.db import Database
from app.core.errors import BadInputError, NotFoundError
from app.services import identity, tokens
from app.services.identity import Identity
from models import Token, db_now
from tests import factories


def test_a_token_is_its_holders_identity_with_its_scopes(database: Database, who: Identity) -> None:
    with database.write() as session:
        _, secret = tokens.create(session, who, name="lab", scopes=["read"], expires_in_days=30)
        assert secret.startswith("phs_")
        assert len(secret) >= 4 + 43  # 256 bits in base 64
        found = identity.from_token(session, secret)
        assert found == Identity(who.project_id, who.user_id, who.name, frozenset({"read"}), "token")
        assert secret not in session.scalars(select(Token.secret_sha256)).all()


@pytest.mark.parametrize("change", [{"expires_at": db_now(-1)}, {"revoked_at": db_now()}])
def test_is_refused_when_expired_or_revoked(database: Database, who: Identity, change: dict) -> None:
    with database.write() as session:
        _, secret = tokens.create(session, who, name="lab", scopes=["read"], expires_in_days=1)
        session.execute(update(Token).values(**change))
        assert identity.from_token(session, secret) is None


def test_revoking_twice_keeps_the_first_time(database: Database, who: Identity) -> None:
    with database.write() as session:
        token, _ = tokens.create(session, who, name="lab", scopes=["read"], expires_in_days=None)
        tokens.revoke(session, who, token)
        first = token.revoked_at
        tokens.revoke(session, who, token)
        assert first is not None
        assert token.revoked_at == first


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"name": "  "}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["admin"]}, "/scopes"),
        ({"expires_in_days": 0}, "/expires_in_days"),
    ],
)
def test_says_which_option_is_wrong(database: Database, who: Identity, options: dict, pointer: str) -> None:
    right = {"name": "lab", "scopes": ["read"], "expires_in_days": None}
    with database.write() as session, pytest.raises(BadInputError) as caught:
        tokens.create(session, who, **{**right, **options})
    assert caught.value.errors[0]["pointer"] == pointer


def test_nobody_makes_a_token_that_may_more_than_they(database: Database, who: Identity) -> None:
    reader = Identity(who.project_id, who.user_id, who.name, frozenset({"read"}), "token")
    with database.write() as session, pytest.raises(BadInputError, match="You may not write yourself"):
        tokens.create(session, reader, name="lab", scopes=["read", "write"], expires_in_days=None)


def test_another_persons_token_does_not_exist(database: Database, who: Identity) -> None:
    with database.write() as session:
        other = factories.identity(session, "other")
        token, _ = tokens.create(session, other, name="theirs", scopes=["read"], expires_in_days=None)
        assert tokens.listing(session, who) == []
        with pytest.raises(NotFoundError):
            tokens.get(session, who, token.id)
        with pytest.raises(NotFoundError):
            tokens.revoke(session, who, token)
