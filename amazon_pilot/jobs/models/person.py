"""Who acts: a user, nobody who is signed in, or the machine itself."""

from typing import TypeAlias

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User

Asker: TypeAlias = User | AnonymousUser
Actor: TypeAlias = Asker | None  # None is the machine


def known(by: Actor) -> User | None:
    """Return the user whom a row can name; None for the machine, and for a stranger."""
    return by if isinstance(by, AbstractBaseUser) else None
