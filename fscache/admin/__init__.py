"""The administrator's side: what keeps a root in order, apart from how it is asked for.

`fscache.cli.admin` prints what these modules return; the server and its timers call them, too.
"""
