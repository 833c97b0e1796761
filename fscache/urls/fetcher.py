"""The stager, wired to one root: destination, credentials, transports, limits.

Made when a cache first has to fetch something; a process that only hits never imports it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from credentials.chain import CredentialChain
from fscache import __version__
from fscache.paths import as_path
from fscache.urls.destination import CacheDestination
from stager.destination import Validator
from stager.retry import RetryPolicy
from stager.service import FetchService
from stager.transports import default_transports
from stager.transports.base import Timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from credentials.model import Credential
    from fscache.config import Config
    from fscache.records.root import Root
    from fscache.urls.entry import URLEntry
    from fscache.urls.index import URLIndex
    from stager.checks import Promise
    from stager.request import FetchRequest

USER_AGENT = f"fscache/{__version__}"
