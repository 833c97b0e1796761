"""Who may fetch what: credentials per host, looked up in a fixed order of places.

`model` is what a credential is; `netrc`, `keyring_store` and `systemd` are the places; `chain` asks
them in order. This package knows neither the stager nor the cache, and performs no request.
"""
