"""Addresses of accounts: ours, then those of django-allauth under their own names."""

from allauth.account import views as allauth
from allauth.mfa.base import views as mfa
from django.db import transaction
from django.urls import include, path

from amazon_pilot import login

from . import team_views, views

# Hashing and the mail server take their time, and on SQLite a transaction holds the write lock all the while.
apart = transaction.non_atomic_requests

urlpatterns = [
    path("", views.account, name="account"),
    path("data/", views.data, name="account_data"),
    path("delete/", views.delete, name="account_delete"),
    path("team/", team_views.team, name="team"),
    path("team/invite/", team_views.invite, name="invite_to_team"),
    path("team/invitations/<int:pk>/withdraw/", team_views.withdraw, name="withdraw_team_invitation"),
    path("team/members/<int:pk>/role/", team_views.change_role, name="change_role"),
    path("team/members/<int:pk>/remove/", team_views.remove_member, name="remove_member"),
    path("team/delete/", team_views.delete_team, name="delete_team"),
    path("teams/new/", team_views.new_team, name="new_team"),
    path("teams/<int:pk>/enter/", team_views.enter, name="enter_team"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<int:pk>/revoke/", views.revoke, name="revoke_token"),
    path("invitations/", views.invitations, name="invitations"),
    path("invitations/<int:pk>/withdraw/", views.withdraw, name="withdraw_invitation"),
    path("invitation/<str:secret>/", views.Invited.as_view(), name="invited"),
    path("login/", login.login),  # before django-allauth's own, which knows nothing of throttling by name
    path("password/reset/", apart(allauth.password_reset)),
    path("reauthenticate/", apart(allauth.reauthenticate)),
    path("2fa/authenticate/", apart(mfa.authenticate)),
    path("2fa/", include("allauth.mfa.urls")),
    path("sessions/", include("allauth.usersessions.urls")),
    path("", include("allauth.account.urls")),
]
