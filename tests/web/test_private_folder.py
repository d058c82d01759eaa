"""Nothing of an image stays: not after a session, not after the server, not after a killed server and the next one."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from busi_keras.errors import UsageError
from busi_keras.web.private_folder import TMPFS, PrivateFolder
from busi_keras.web.sessions import MAX_SESSIONS, NoRoomError, Sessions

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from busi_keras.web.private_folder import PrivateFolder
folder = PrivateFolder(Path(sys.argv[1]))
(folder.new_session() / "patient.png").write_bytes(b"pixels")
print("there", flush=True)
sys.stdin.read()
"""


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    folder = PrivateFolder(tmp_path)
    for path in (folder.path.parent, folder.path, folder.new_session()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    folder.remove()
    assert not folder.path.exists()


@pytest.mark.skipif(not TMPFS.is_dir(), reason="this system has no /dev/shm")
def test_it_lies_in_memory_where_the_system_has_such_a_place() -> None:
    folder = PrivateFolder()
    assert folder.path.is_relative_to(TMPFS)
    folder.remove()


def test_what_a_killed_server_left_goes_with_the_next_and_a_living_ones_stays(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, tmp_path],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "there\n"
        return process

    killed = start()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(list(tmp_path.rglob("patient.png"))) == 1
    living = start()
    assert len(list(tmp_path.rglob("patient.png"))) == 1  # the killed one's is gone, the living one's is there
    next_one = PrivateFolder(tmp_path)
    assert len(list(tmp_path.rglob("patient.png"))) == 1
    living.communicate()
    next_one.remove()
    PrivateFolder(tmp_path).remove()
    assert not list(tmp_path.rglob("patient.png"))
    assert not list(tmp_path.rglob("server-*"))


def test_a_folder_that_somebody_else_put_there_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"busi_keras-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(UsageError, match="belongs to somebody else"):
        PrivateFolder(tmp_path)


def test_a_session_ends_with_all_its_files_when_nobody_uses_it(tmp_path: Path) -> None:
    now = 0.0
    folder = PrivateFolder(tmp_path)
    sessions = Sessions(folder, idle_seconds=60, clock=lambda: now)
    idle, used = sessions.start(), sessions.start()
    for session in (idle, used):
        (session.folder / "patient.png").write_bytes(b"pixels")
    now = 50.0
    assert sessions.find(used.token) is used
    now = 61.0
    sessions.end_idle()
    assert sessions.find(idle.token) is None
    assert sessions.find(used.token) is used
    assert [path.parent for path in tmp_path.rglob("patient.png")] == [used.folder]
    sessions.end(used)
    assert not list(tmp_path.rglob("patient.png"))
    folder.remove()


def test_sessions_are_bounded(tmp_path: Path) -> None:
    folder = PrivateFolder(tmp_path)
    sessions = Sessions(folder)
    for _ in range(MAX_SESSIONS):
        sessions.start()
    with pytest.raises(NoRoomError, match="too many people"):
        sessions.start()
    with pytest.raises(NoRoomError, match="memory for images is full"):
        sessions.require_room(sessions.find(next(iter(sessions._sessions))), 10**15)
    folder.remove()
