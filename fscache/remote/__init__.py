"""The other end of the wire: a data server's cache with the same face as one of this machine.

- `address`: which server, and with which token; `faults`, `codec`: errors and values as they travel;
- `client`: one lean HTTP connection per thread; `rpc`: XML-RPC calls over it;
- `transport`: the stager's transport that lets the server stage and then pulls the object;
- `cache`, `kv`, `tasks`: the faces.
"""
