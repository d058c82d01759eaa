"""Whether something on the internet can be had, found out within seconds."""

import http.client
import ssl
import urllib.error
import urllib.request

TIMEOUT_S = 4.0


def reachable(url: str, timeout_s: float = TIMEOUT_S, own_certificates: bool = False) -> bool:
    """Whether a server answers at `url` within `timeout_s` seconds, through the proxies of the environment.

    Args:
        own_certificates: whether who downloads brings certificates along; then it need not be one that Python can
            verify: python.org's Python on macOS knows none at first.
    """
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=timeout_s):
            return True
    except urllib.error.HTTPError as error:
        return error.code in (400, 404, 405)  # the server itself answers; a gateway that forbids says 403 or 407
    except urllib.error.URLError as error:
        return own_certificates and isinstance(error.reason, ssl.SSLCertVerificationError)
    except (OSError, http.client.HTTPException, ValueError):
        return False
