"""Evidence on alarms: seeded experiments through the product's own profile, summaries and judge.

Each experiment is a file: it says what it measures, splits into parts that processes share, and
concludes with tables and targets.  Nothing of the mathematics is repeated here.
"""
