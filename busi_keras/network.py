"""Whether something on the internet can be had, found out within seconds."""

import http.client
import ssl
import urllib.error
import urllib.request

TIMEOUT_S = 4.0


def reachable(url: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether a server answers at `url` within `timeout_s` seconds, through the proxies of the environment."""
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=timeout_s):
            return True
    except urllib.error.HTTPError as error:
        return error.code in (400, 404, 405)  # the server itself answers; a gateway that forbids says 403 or 407
    except urllib.error.URLError as error:
        # it answers, and Python knows no certificates, as python.org's on macOS at first; who downloads brings them
        return isinstance(error.reason, ssl.SSLCertVerificationError)
    except (OSError, http.client.HTTPException, ValueError):
        return False
