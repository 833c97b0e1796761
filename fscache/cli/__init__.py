"""The command `fscache`: one file per command, nothing that another layer needs.

`main` reads the arguments and calls one command; `session` is what a command is given; `exits` says
which exit code an error becomes. A command's module is imported when it is called for, and only then.
"""
