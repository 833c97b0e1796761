"""The daemon: one port that stages URLs for nodes, hands out objects and keeps key-values for them.

- `head`, `body`, `stream`, `connection`, `listener`: HTTP/1.1 over threads, whatever is served; `tls`;
- `auth`, `limits`, `policy`, `options`: who may ask, how much, for which targets, with which options;
- `app` routes by `(method, first part of the path)`; each part of the server has `routes()` for plain
  HTTP or `methods()` for XML-RPC (`rpc`), and `service` puts them together;
- plain HTTP: `blobs`, `pulls`, `kv`, `sql`, `queries`;
- XML-RPC: `calls`, `kvcalls`, `metastore`, `watches`, `tasks`, `admin`;
- `board` and `batches` keep the requests, `status` tells of them, `spool` has their files, `watch` and
  `keeper` look into it; `renewal` is the stager; `preconditions` are names met; `jobs` take long;
- `page`, `metrics`, `figures`: what an administrator sees; `notify`, `life`, `main`: the process.
"""
