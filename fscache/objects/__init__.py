"""Content-addressed bytes: `digest` names them, `layout` places them, `store` keeps them.

`verify` hashes them again. Objects know nothing of URLs, keys or tasks.
"""
