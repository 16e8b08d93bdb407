"""Who works together on what: teams and their members, tokens for scripts, invitations, and how pages are written."""

import zoneinfo
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from amazon_pilot.jobs.core import tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import User

MOST_TOKENS, MOST_INVITATIONS = 50, 200
MOST_TEAMS = 20  # that one user owns: each has budgets of its own
INVITATION_LASTS = timedelta(days=7)
INVITATION_SALT = "an invitation to an account"
LONGEST_NAME = 60
MARK = "pilot_"  # so that a token that was published by mistake can be found


class TeamRole(models.TextChoices):
    OWNER = "owner", _("owner")
    MEMBER = "member", _("member")
    VIEWER = "viewer", _("viewer")


class TeamQuerySet(models.QuerySet["Team"]):
    @transaction.atomic
    def found(self, user: "User | Any", name: str) -> "Membership":
        """Make a team with its owner; return his membership. Raises ValidationError beyond twenty teams of one user."""
        if Membership.objects.filter(user=user, role=TeamRole.OWNER).count() >= MOST_TEAMS:
            raise ValidationError(_("You own 20 teams. Hand one over before you make another."))
        team = self.create(name=name[:LONGEST_NAME])
        return Membership.objects.create(team=team, user=user, role=TeamRole.OWNER)

    @transaction.atomic
    def found_for_the_teamless(self, users: "Iterable[User]") -> None:
        """Give each of these users who is in no team one of his own. Three queries, however many they are."""
        people = {user.pk: user for user in users}
        settled = Membership.objects.filter(user__in=people).values_list("user", flat=True)
        lonely = [people[pk] for pk in people.keys() - set(settled)]
        teams = Team.objects.bulk_create(Team(name=user.get_username()[:LONGEST_NAME]) for user in lonely)
        Membership.objects.bulk_create(
            Membership(team=team, user=user, role=TeamRole.OWNER) for team, user in zip(teams, lonely, strict=True)
        )


class Team(models.Model):
    """Those who watch the same products together: what is watched, compared, told and paid belongs to it."""

    name = models.CharField(_("name"), max_length=LONGEST_NAME)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="teams")
    created_at = models.DateTimeField(_("made at"), auto_now_add=True)
    # Deleted by its owner: nobody is in it any more, and its rows go in the background.
    ended_at = models.DateTimeField(_("deleted at"), null=True, editable=False)

    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("team")
        verbose_name_plural = _("teams")
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name

    def keep_an_owner(self) -> None:
        """Delete a team that nobody is left in; where only its owner went, the member of longest standing follows."""
        left = Membership.objects.filter(team=self.pk)
        if left.filter(role=TeamRole.OWNER).exists():
            return
        if heir := left.exclude(role=TeamRole.VIEWER).order_by("pk").first() or left.order_by("pk").first():
            left.filter(pk=heir.pk).update(role=TeamRole.OWNER)
        else:
            Team.objects.filter(pk=self.pk, ended_at=None).delete()


class MembershipQuerySet(models.QuerySet["Membership"]):
    def of(self, user: "User | Any") -> "MembershipQuerySet":
        """Keep this user's, each with its team, the first one first; a team that was deleted meanwhile is no team."""
        return self.filter(user=user, team__ended_at=None).select_related("team").order_by("pk")

    @transaction.atomic
    def hand_over(self, owner: "Membership", heir: "Membership") -> bool:
        """Make another member the owner, and the owner a member; False when either is not what it was any more."""
        mine = self.filter(pk=owner.pk, role=TeamRole.OWNER).update(role=TeamRole.MEMBER)
        theirs = mine and self.filter(pk=heir.pk, team=owner.team_id).update(role=TeamRole.OWNER)
        if not theirs:
            transaction.set_rollback(True)
        return bool(theirs)

    @transaction.atomic
    def part(self, membership: "Membership") -> bool:
        """End a membership with its tokens; False for an owner's, who hands over first, and for one that has ended."""
        # First a conditional update, so that nobody can be made the owner in between.
        rows = self.filter(pk=membership.pk).exclude(role=TeamRole.OWNER)
        return bool(rows.update(role=TeamRole.VIEWER) and rows.delete())


class Membership(models.Model):
    """One user's place in one team. Each team has one owner."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships", verbose_name=_("team"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships", verbose_name=_("user")
    )
    role = models.CharField(_("role"), max_length=6, choices=TeamRole, default=TeamRole.MEMBER)
    created_at = models.DateTimeField(_("joined at"), auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(fields=["team", "user"], name="member_once_per_team"),
            models.UniqueConstraint(fields=["team"], condition=Q(role="owner"), name="team_has_one_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.team}"

    @property
    def is_owner(self) -> bool:
        """Whether he invites, removes, and decides on roles."""
        return self.role == TeamRole.OWNER

    @property
    def may_write(self) -> bool:
        """Whether he may change anything of the team's."""
        return self.role != TeamRole.VIEWER


class Scope(models.TextChoices):
    READ = "read", _("read")
    WRITE = "write", _("read and write")


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def issue(self, membership: Membership, name: str, scope: str) -> "tuple[ApiToken, str]":
        """Return a new token and its text, which is shown this once; raises ValidationError for more than fifty."""
        if self.filter(membership=membership).count() >= MOST_TOKENS:
            raise ValidationError(_("You have 50 tokens. Revoke one that is no longer used."))
        made = tokens.make(MARK)
        row = self.create(membership=membership, name=name, scope=scope, digest=made.digest, start=made.start)
        return row, made.text

    def named_by(self, text: str) -> "ApiToken | None":
        """Return the token that this text is, of a member who may sign in."""
        rows = self.filter(digest=tokens.digest_of(text), membership__user__is_active=True)
        return rows.select_related("membership__user", "membership__team").first()


class ApiToken(models.Model):
    """A key with which a script acts for a member of a team; it ends with the membership. Only its digest is kept."""

    membership = models.ForeignKey(Membership, models.CASCADE, related_name="api_tokens", verbose_name=_("membership"))
    name = models.CharField(_("name"), max_length=60, help_text=_("What it is for."))
    scope = models.CharField(_("may"), max_length=5, choices=Scope, default=Scope.READ)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    start = models.CharField(_("begins with"), max_length=12, editable=False)
    created_at = models.DateTimeField(_("made at"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("token")
        verbose_name_plural = _("tokens")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.start}…)"

    @property
    def may_write(self) -> bool:
        """Whether it may change anything: no more than who made it."""
        return self.scope == Scope.WRITE and self.membership.may_write


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> "InvitationQuerySet":
        """Keep what can still be accepted."""
        return self.filter(accepted_at=None, expires_at__gt=Now())

    def named_by(self, text: str) -> "Invitation | None":
        """Return the open invitation whose link this is; None for one that is used, withdrawn, too old or made up."""
        try:
            pk = signing.loads(text, salt=INVITATION_SALT, max_age=INVITATION_LASTS)
        except signing.BadSignature:
            return None
        return self.open().filter(pk=pk).first()

    def prune(self) -> int:
        """Delete what expired or was accepted a month ago; return how many."""
        month = Now() - timedelta(days=30)
        return self.filter(Q(expires_at__lt=month) | Q(accepted_at__lt=month)).delete()[0]


def when_expired() -> Any:
    """Return when an invitation that is made now ends."""
    return now() + INVITATION_LASTS


class Invitation(models.Model):
    """One address that may sign up, or join a team, once and for a week."""

    email = models.EmailField(_("e-mail"))
    team = models.ForeignKey(Team, models.CASCADE, null=True, related_name="invitations", verbose_name=_("team"))
    role = models.CharField(_("role"), max_length=6, choices=TeamRole, blank=True)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("invited by")
    )
    created_at = models.DateTimeField(_("made at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("ends at"), default=when_expired)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    accepted_at = models.DateTimeField(_("accepted at"), null=True)
    language = models.CharField(max_length=10, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.email

    @property
    def secret(self) -> str:
        """What its link holds; nothing of it is stored, and only our key can sign it."""
        return signing.dumps(self.pk, salt=INVITATION_SALT)

    def accept(self) -> bool:
        """Use it up; False means that somebody else was first."""
        return Invitation.objects.open().filter(pk=self.pk).update(accepted_at=Now()) == 1

    def let_in(self, user: "User | Any") -> Membership | None:
        """Make who has accepted a member of its team; None where it names none. Who is a member stays what he is."""
        if self.team_id is None:
            return None
        role = self.role or TeamRole.VIEWER
        return Membership.objects.get_or_create(team_id=self.team_id, user=user, defaults={"role": role})[0]


def check_zone(name: str) -> None:
    """Refuse what is no time zone; raises ValidationError."""
    if name and name not in zoneinfo.available_timezones():
        raise ValidationError(_("“%s” is no time zone. Write it like Europe/Berlin.") % name[:40])


class Preferences(models.Model):
    """How one user's pages are written; empty means as the browser asks."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="preferences")
    zone = models.CharField(_("time zone"), max_length=60, blank=True, validators=[check_zone])
    language = models.CharField(_("language"), max_length=10, blank=True, choices=settings.LANGUAGES)
    # The team that is shown after the next sign-in: that of the last switch.
    team = models.ForeignKey(Team, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("team"))
    # Asked for by its owner: the account is closed at once, and its rows go in the background.
    leaving_at = models.DateTimeField(_("leaving since"), null=True, editable=False)

    class Meta:
        verbose_name = _("preferences")
        verbose_name_plural = _("preferences")

    def __str__(self) -> str:
        return str(self.user)
