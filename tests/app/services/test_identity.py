"""Links, sessions and the system's own identity."""

import pytest
from sqlalchemy import func, select, update

from app.core.config import Settings
from app.core.db import Database
from app.core.errors import SignInError
from app.services import identity, tokens
from app.services.identity import Identity
from models import LoginLink, Project, Token, User, WebSession, db_now


def _code(url: str) -> str:
    return url.partition("?code=")[2]


class TestSystem:
    def test_makes_the_default_project_once(self, database: Database) -> None:
        with database.write() as session:
            first = identity.system(session)
        with database.write() as session:
            assert identity.system(session) == first
            assert session.scalar(select(func.count()).select_from(Project)) == 1
            assert session.scalar(select(func.count()).select_from(User)) == 1
        assert first.scopes == {"read", "write"}


class TestLinks:
    def test_names_loopback_where_the_server_listens_everywhere(self, settings: Settings) -> None:
        everywhere = settings.model_copy(update={"host": "0.0.0.0", "port": 8123})
        assert identity.address(everywhere) == "http://127.0.0.1:8123"
        assert identity.address(settings.model_copy(update={"host": "::1", "port": 80})) == "http://[::1]:80"

    def test_signs_in_once_and_keeps_no_secret(self, database: Database, settings: Settings, who: Identity) -> None:
        with database.write() as session:
            code = _code(identity.create_login_link(session, settings, who))
        with database.write() as session:
            secret = identity.sign_in(session, code)
            found = identity.from_session_cookie(session, secret)
            assert found is not None
            assert (found.user_id, found.via) == (who.user_id, "session")
            kept = [
                *session.scalars(select(LoginLink.secret_sha256)),
                *session.scalars(select(WebSession.secret_sha256)),
            ]
            assert code not in kept
            assert secret not in kept
            with pytest.raises(SignInError, match="has been used"):
                identity.sign_in(session, code)

    def test_expires_after_an_hour(self, database: Database, settings: Settings, who: Identity) -> None:
        with database.write() as session:
            code = _code(identity.create_login_link(session, settings, who))
            session.execute(update(LoginLink).values(expires_at=db_now(-1)))
            with pytest.raises(SignInError):
                identity.sign_in(session, code)

    def test_a_session_ends_when_it_expires_or_is_signed_out(
        self, database: Database, settings: Settings, who: Identity
    ) -> None:
        with database.write() as session:
            secret = identity.sign_in(session, _code(identity.create_login_link(session, settings, who)))
            session.execute(update(WebSession).values(expires_at=db_now(-1)))
            assert identity.from_session_cookie(session, secret) is None
            session.execute(update(WebSession).values(expires_at=db_now(60)))
            assert identity.from_session_cookie(session, secret) is not None
            identity.sign_out(session, secret)
            assert identity.from_session_cookie(session, secret) is None


class TestLastUsed:
    def test_is_written_at_most_once_a_minute(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            token, secret = tokens.create(session, who, name="t", scopes=["read"], expires_in_days=None)
            assert identity.token_use_is_stale(session, secret)
            identity.note_token_use(session, secret)
            assert not identity.token_use_is_stale(session, secret)
            session.execute(update(Token).values(last_used_at=db_now(-61)))
            assert identity.token_use_is_stale(session, secret)
            assert token.prefix == secret[:12]
