"""Who writes: the user that an MLflow server authenticated, or the account that this process runs under."""

from __future__ import annotations

import os

from grmu_audit.errors import EnvironmentFailure
from grmu_audit.tracking.mlflow.environment import shown_uri

_CURRENT_USER = "/api/2.0/mlflow/users/current"
"""Page on which a server with basic auth names the caller; a server without accounts has no such page."""


def account_of(uri: str) -> str:
    """``mlflow:NAME`` where the server at that address authenticates, else ``os:NAME``.

    Raises:
        EnvironmentFailure: the server does not answer, or does not say.
    """
    name = _authenticated(uri) if uri.startswith(("http://", "https://")) else None
    return f"mlflow:{name}" if name is not None else f"os:{_own_account()}"


def _authenticated(uri: str) -> str | None:
    """The user's name; None on a server without accounts."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    answer = http_request(get_default_host_creds(uri), _CURRENT_USER, "GET", raise_on_status=False)
    if answer.status_code == 404:  # no such page
        return None
    try:
        return str(answer.json()["user"]["username"])
    except (ValueError, KeyError, TypeError):
        raise EnvironmentFailure(
            f"{shown_uri(uri)} does not say whose account this is (HTTP {answer.status_code}), and nothing was written: check"
            " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        ) from None


def _own_account() -> str:
    """Name of the account by the system's own table, not by variables that anybody sets; its number where it has no name."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except ImportError:
        import getpass

        return getpass.getuser()
    except KeyError:
        return str(os.getuid())
