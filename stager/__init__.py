"""How bytes get here: a URL goes in, a verified body at a `Destination` comes out.

- pure decisions: `urls`, `checks`, `heads` (what an answer means), `jobs` (what is wanted), `asking`
  (what a server gets to know), `retry` and `mirrors` (when to try what again), `lanes` (whose turn
  it is);
- `transfer`: one URL's way over mirrors, redirects, retries and resumes, without any network in it,
  with `body` and `verifier` for the file it ends up in;
- `request`, `flight`, `scheduler`, `service`: futures, single flight, threads, limits per host;
- `transports/`: who really speaks HTTP, FTP and the rest; the only home of `requests` and `pycurl`.

This package knows no cache: it is handed a `destination.Destination` and a callable for credentials.
"""
