"""The daemon: one port that stages URLs for nodes, hands out objects and keeps key-values for them.

- `head`, `body`, `connection`, `listener`: HTTP/1.1 over threads, without knowing what is served;
- `auth`, `limits`, `policy`: who may ask, how much, and for which targets;
- `app` routes; `rpc` speaks XML-RPC; `blobs` and `kv` speak plain HTTP; `methods` are the calls;
- `board` keeps the requests, `spool` their files, `watch` wakes it; `preconditions` are names met;
- `page`, `metrics`: what an administrator sees; `notify`, `life`, `main`: the process.
"""
