"""How bytes get here: a URL goes in, a verified body at a `Destination` comes out.

- `urls`, `checks`, `retry`, `heads`: pure decisions;
- `transfer`: one URL's way over mirrors, redirects, retries and resumes, without any network in it;
- `request`, `service`: futures, threads, single flight, limits per host;
- `transports/`: who really speaks HTTP, FTP and the rest; the only home of `requests` and `pycurl`.

This package knows no cache: it is handed a `destination.Destination` and a callable for credentials.
"""
