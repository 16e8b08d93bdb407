"""Amazon Pilot: watches products on Amazon, compares them with their competitors, and tells people what happened."""

__version__ = "0.1.0"
