"""Drop-ins for programs that were written against something else.

`datastore` has the names of park's datastore, `metastore` those of the metastore, `ipyparallel` is a
database for its controller, `fsspec` a file system. Each is thin: the work is done below.
"""
