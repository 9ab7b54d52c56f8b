"""Do something outside the database once a transaction has committed, and never if it was rolled back."""

from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.orm import Session

NOTES = "after_commit_actions"


def after_commit(session: Session, action: Callable[[], None]) -> None:
    """Call `action` once, after the session's transaction commits; forget it if that is rolled back."""
    if NOTES not in session.info:
        session.info[NOTES] = []
        event.listen(session, "after_commit", _act)
        event.listen(session, "after_rollback", _forget)
    session.info[NOTES].append(action)


def _act(session: Session) -> None:
    if session.in_nested_transaction():
        return  # only a savepoint was released
    actions, session.info[NOTES] = session.info[NOTES], []
    for action in actions:
        action()


def _forget(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info[NOTES] = []
