"""Task records: what was asked of a task farm, by whom, when, and what came of it.

`backends` makes a database of a root or in memory; `database` is its face; `match` and `operators`
judge queries, without I/O; `log` and `segment` keep the records, one file for each writing process, so
that writers need no lock. Not offered as `fscache.tasks.add_record(…)` yet.
"""
