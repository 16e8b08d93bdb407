"""The monitor: the pages in the admin on which people watch and steer the jobs.

A page only looks; a button is one call of a verb. All viewers share one sample of Redis (`sample.py`), and the history
comes from JobRun and its tallies by index, so that no page grows slower with what it shows.
"""
