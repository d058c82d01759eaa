"""User and password."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from busi_keras.errors import UsageError
from busi_keras.web import access
from busi_keras.web.access import Credentials, open_to_others


@pytest.fixture
def guarded(connect: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(access, "WRONG_PASSWORD_SECONDS", 0.0)
    return connect(credentials=Credentials("reader", "correct horse"))


def test_without_a_password_only_health_and_the_way_in_are_open(guarded: TestClient) -> None:
    for address in ("/health", "/ready", "/login"):
        assert guarded.get(address).status_code == 200
    sent_away = guarded.get("/", follow_redirects=False)
    assert (sent_away.status_code, sent_away.headers["location"]) == (303, "/login")
    for address in ("/api/model", "/metrics", "/openapi.json", "/api/cases", "/api/examples/0.png"):
        answer = guarded.get(address)
        assert answer.status_code == 401, address
        assert answer.json() == {"error": "sign in first"}
        assert "Basic" not in answer.headers["WWW-Authenticate"]  # the browser would ask in a window of its own
    assert guarded.post("/api/predictions", content=b"x").status_code == 401


def test_signing_in_and_out(guarded: TestClient) -> None:
    wrong = guarded.post("/api/login", json={"user": "reader", "password": "wrong"})
    assert wrong.status_code == 401
    assert wrong.json()["error"] == "this user and password do not match; try again"
    assert guarded.get("/api/model").status_code == 401
    assert guarded.post("/api/login", json={"user": "reader", "password": "correct horse"}).status_code == 204
    assert guarded.get("/api/model").json()["signed_in"] is True
    assert guarded.get("/api/cases").json() == []
    token = guarded.cookies["busi_keras"]
    again = guarded.post("/api/login", json={"user": "reader", "password": "correct horse"})
    assert (again.status_code, guarded.cookies["busi_keras"]) == (204, token)  # its images stay
    assert guarded.post("/api/session").status_code == 204
    assert (guarded.cookies["busi_keras"], guarded.get("/api/cases").status_code) == (token, 200)
    assert guarded.delete("/api/session").status_code == 204
    assert guarded.get("/api/model").status_code == 401


def test_programs_send_the_password_with_each_request(guarded: TestClient) -> None:
    assert guarded.get("/metrics", auth=("reader", "correct horse")).status_code == 200
    for wrong in (("reader", "correct hors"), ("Reader", "correct horse"), ("reader", ""), ("reäder", "ö")):
        assert guarded.get("/metrics", auth=wrong).status_code == 401
    for header in ("Basic ???", "Basic", "Bearer correct horse", "Basic cmVhZGVy"):
        assert guarded.get("/metrics", headers={"Authorization": header}).status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(guarded: TestClient) -> None:
    answer = guarded.post("/api/login", json={"user": "reader", "password": "correct horse"})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_wrong_passwords_wait_for_each_other_whichever_way_they_come(
    connect: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "WRONG_PASSWORD_SECONDS", 0.2)
    client = connect(credentials=Credentials("reader", "correct horse"))
    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        basic = [pool.submit(client.get, "/metrics", auth=("reader", "wrong")) for _ in range(2)]
        form = [pool.submit(client.post, "/api/login", json={"user": "reader", "password": "x"}) for _ in range(2)]
        assert [one.result().status_code for one in basic + form] == [401] * 4
    assert time.monotonic() - started >= 0.8


def test_a_door_that_is_open_to_others_is_said() -> None:
    assert open_to_others("127.0.0.1", None) is None
    assert open_to_others("0.0.0.0", Credentials("reader", "secret")) is None
    assert "0.0.0.0 over the network gets in without a password" in (open_to_others("0.0.0.0", None) or "")


def test_a_user_without_a_password_is_refused() -> None:
    assert Credentials.from_environment({}) is None
    with pytest.raises(UsageError, match="BUSI_KERAS_USER is set, but BUSI_KERAS_PASSWORD is not"):
        Credentials.from_environment({"BUSI_KERAS_USER": "reader"})
    with pytest.raises(UsageError, match="BUSI_KERAS_PASSWORD is set, but BUSI_KERAS_USER is not"):
        Credentials.from_environment({"BUSI_KERAS_PASSWORD": "secret"})
