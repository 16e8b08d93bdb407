"""Background work on accounts: mail, what tokens were used for, and the end of an account or a team."""

import logging
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from django.db import transaction
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.utils import translation

from amazon_pilot.jobs import Backoff, job

from .invitations import link_to
from .leaving import remove_rows, remove_team_rows
from .models import ApiToken, Invitation, Preferences, Team

logger = logging.getLogger(__name__)

ABANDONED = timedelta(hours=1)


@job("low", timeout=30, unique=True)
def note_token_use(token_id: int) -> None:
    """Note that a token was used just now; it is exact to about an hour."""
    ApiToken.objects.filter(pk=token_id).update(last_used_at=Now())


@job("default", timeout=60, unique=True, retry=Backoff(attempts=6, first=30, cap=1800))
def send_invitation(invitation_id: int) -> str:
    """Write to whom is invited; the link is made here, so that no job and no row holds it."""
    invitation = Invitation.objects.open().filter(pk=invitation_id, sent_at=None).first()
    if invitation is None:
        return "withdrawn, accepted, expired or sent"
    with translation.override(invitation.language or None):
        words = {"invitation": invitation, "link": link_to(invitation)}
        text = render_to_string("emails/invitation.txt", words).lstrip()
        subject, _blank, body = text.partition("\n")
        send_mail(" ".join(subject.split()), body.strip() + "\n", None, [invitation.email])
    Invitation.objects.filter(pk=invitation.pk).update(sent_at=Now())
    return "sent"


@job("low", timeout=300, unique=True, retry=Backoff(attempts=4, first=60, cap=900))
def remove_account(user_id: int) -> str:
    """Remove the rows of an account that its owner has closed, in small steps, and at last its user."""
    leaving = Preferences.objects.filter(user=user_id, leaving_at__isnull=False, user__is_active=False)
    if not leaving.exists():
        return "it is not leaving"
    gone = remove_rows(user_id)
    with transaction.atomic():
        get_user_model().objects.filter(pk=user_id, is_active=False).delete()
    return f"{gone} rows"


@job("low", timeout=300, unique=True, retry=Backoff(attempts=4, first=60, cap=900))
def remove_team(team_id: int) -> str:
    """Remove the rows of a team that its owner has deleted, in small steps, and at last the team."""
    ended = Team.objects.filter(pk=team_id, ended_at__isnull=False)
    if not ended.exists():
        return "it has not ended"
    gone = remove_team_rows([team_id])
    ended.delete()
    return f"{gone} rows"


@job("low", timeout=120, retry=Backoff(attempts=6, first=20, cap=1800))
def cleanup() -> str:
    """Forget old invitations, and go on with accounts and teams whose end was lost on the way."""
    teams = list(Team.objects.filter(ended_at__lt=Now() - ABANDONED).values_list("pk", flat=True)[:100])
    remove_team.enqueue_many([(team,) for team in teams])
    left = Preferences.objects.filter(leaving_at__lt=Now() - ABANDONED, user__is_active=False)
    users = list(left.values_list("user", flat=True)[:100])
    remove_account.enqueue_many([(user,) for user in users])
    return f"{Invitation.objects.prune()} invitations, {len(users)} accounts, {len(teams)} teams"
