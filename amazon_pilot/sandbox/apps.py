"""Apify and OpenAI played on our own machine, in their real wire protocol."""

from django.apps import AppConfig


class SandboxConfig(AppConfig):
    name = "amazon_pilot.sandbox"
    label = "sandbox"
