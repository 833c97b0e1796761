"""Bringing older stores into a root: what other tools and other splits have kept.

`readers` say what lies in a foreign directory (one module each, changing nothing there), `transfer`
brings it into a root, `metastore` and `taskdb` read key-values and task records from files of SQLite,
`resplit` changes how a root splits its own addresses. MIGRATION.md says for each format what moves, how
to resume and how to go back.
"""
