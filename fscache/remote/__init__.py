"""The other end of the wire: a data server's cache with the same face as one of this machine.

- `address`: which server, and with which token; `faults`, `codec`: errors and values as they travel;
- `connection`: one kept connection; `client`: one for each thread, and patience; `rpc`: calls over it;
- `asking`: staging by the wire or by the spool, `following`: what becomes of it;
- `transport`: to the stager the server is every URL's origin; `bundles`, `objects`: bytes in other ways;
- `fetcher`: which of these suits this machine;
- `cache`, `kv`, `tasks`, `admin`, `metastore`: the faces.
"""
