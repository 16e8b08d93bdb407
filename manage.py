#!/usr/bin/env python
"""Django's command-line utility for administrative tasks."""

from amazon_pilot.__main__ import main

if __name__ == "__main__":
    main()
