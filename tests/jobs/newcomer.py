"""The module into which the exercise of CONTRIBUTING.md is written."""
