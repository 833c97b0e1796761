"""URLs: which object stands for a URL, whether it is still good, and how a missing one is staged.

`entry` is the record, `freshness` the decision, `index` the look-up, `partials` and `destination` what
the stager writes into, `fetcher` the stager wired to this root.
"""
