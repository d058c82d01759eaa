import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from busi_keras.errors import UsageError
from busi_keras.files import (
    add_numbered_folder,
    held,
    replacing,
    replacing_folder,
    require_writable,
    verify_archive,
    write_text,
)

FULL = b"\0" * 3_000_000


def write_half(path: Path, failure: BaseException) -> None:
    with replacing(path) as part:
        part.write_text("half")
        raise failure


def write_half_a_folder(path: Path, failure: BaseException) -> None:
    with replacing_folder(path) as part:
        (part / "half").touch()
        raise failure


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_when_the_block_is_done_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "metrics.json"
    write_text(path, "old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == path.parent  # renaming is one step on one disk alone
    assert path.read_text() == "new"
    assert names(tmp_path / "new") == ["metrics.json"]


@pytest.mark.parametrize("failure", [ValueError, OSError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(failure):
        write_half(tmp_path / "a.txt", failure())
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_text_is_stored_as_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Größe ≥ 3 µm\n")
    assert (tmp_path / "a.txt").read_bytes() == "Größe ≥ 3 µm\n".encode()


def test_a_full_disk_leaves_the_old_file_and_says_so(small_disk: Path) -> None:
    path = small_disk / "model.keras"
    path.write_bytes(b"old")
    complaint = r"the disk is full, so .*model\.keras was not written; free some space"
    with pytest.raises(UsageError, match=complaint), replacing(path) as part:
        part.write_bytes(FULL)
    assert path.read_bytes() == b"old"
    assert names(small_disk) == ["model.keras"]


def test_a_full_disk_leaves_no_folder_and_says_so(small_disk: Path) -> None:
    complaint = r"the disk is full, so .*phantoms was not written"
    with pytest.raises(UsageError, match=complaint), replacing_folder(small_disk / "phantoms") as part:
        (part / "image.png").write_bytes(FULL)
    assert names(small_disk) == []


def test_a_disk_without_room_for_a_folder_says_so(small_disk: Path) -> None:
    with suppress(OSError):
        for number in range(64):
            (small_disk / f"{number}").touch()
    with pytest.raises(UsageError, match="the disk is full"):
        write_text(small_disk / "run" / "a.txt", "x")
    with pytest.raises(UsageError, match="the disk is full"), replacing_folder(small_disk / "a" / "b"):
        pytest.fail("there is no folder to write to")


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "saved_models" / "net" / "1"
    with replacing_folder(target) as part:
        (part / "assets").mkdir()
        (part / "assets" / "card.json").write_text("{}")
        assert not target.exists()
        assert names(target.parent)[0].startswith(".")  # TF Serving, which polls, does not take it for a version
    assert (target / "assets" / "card.json").read_text() == "{}"
    assert names(target.parent) == ["1"]


@pytest.mark.parametrize("failure", [ValueError, OSError, KeyboardInterrupt])
def test_a_folder_whose_block_fails_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure):
        write_half_a_folder(tmp_path / "net", failure())
    assert names(tmp_path) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "mine").touch()
    complaint = "net exists already; name a new folder, or remove it first"
    with pytest.raises(UsageError, match=complaint), replacing_folder(tmp_path / "net"):
        pytest.fail("nothing may be written")
    assert names(tmp_path / "net") == ["mine"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    with replacing_folder(tmp_path / "net") as part:
        (part / "a").touch()
    assert names(tmp_path / "net") == ["a"]


def test_what_a_killed_process_of_the_same_id_left_is_not_kept(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "net") as left_over:
        pass
    (tmp_path / "net").rename(left_over)
    (left_over / "half").touch()
    with replacing_folder(tmp_path / "net") as part:
        (part / "whole").touch()
    assert names(tmp_path / "net") == ["whole"]


ADD = """
import sys
from pathlib import Path
from busi_keras.files import add_numbered_folder

def fill(part):
    (part / "weights").write_text(sys.argv[2])
    print("filled", flush=True)
    sys.stdin.read()

print(add_numbered_folder(Path(sys.argv[1]), fill).name)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that even root cannot write to")
def test_a_folder_that_cannot_be_written_to_is_known_before_work() -> None:
    with pytest.raises(UsageError, match=r"^/proc cannot be written to \(.*\); copy it to a folder of your own$"):
        require_writable(Path("/proc"))


def test_a_folder_that_can_be_written_to_stays_as_it_is(tmp_path: Path) -> None:
    require_writable(tmp_path)
    assert names(tmp_path) == []


def test_numbered_folders_of_processes_at_once_all_get_a_number(tmp_path: Path) -> None:
    (tmp_path / "served" / "7").mkdir(parents=True)
    commands = [[sys.executable, "-c", ADD, tmp_path / "served", f"writer {n}"] for n in range(4)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for command in commands]
    assert [process.stdout.readline() for process in running] == ["filled\n"] * 4
    for process in running:
        process.stdin.close()
    numbers = [process.stdout.read().strip() for process in running]
    assert sorted(numbers) == ["10", "11", "8", "9"]
    for n, number in enumerate(numbers):
        assert (tmp_path / "served" / number / "weights").read_text() == f"writer {n}"
    assert names(tmp_path / "served") == ["10", "11", "7", "8", "9"]


def test_a_numbered_folder_that_fails_leaves_nothing_and_takes_no_number(tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        (part / "half").touch()
        raise RuntimeError("half done")

    with pytest.raises(RuntimeError, match="half done"):
        add_numbered_folder(tmp_path / "served", fail)
    assert names(tmp_path / "served") == []
    left = tmp_path / "served" / ".999999999.new-0"  # of a process that was killed
    left.mkdir()
    assert add_numbered_folder(tmp_path / "served", lambda part: (part / "whole").touch()).name == "1"
    assert names(tmp_path / "served") == ["1"]


def test_a_numbered_folder_cannot_be_added_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is a file; name a folder"):
        add_numbered_folder(tmp_path / "file", lambda part: None)


HOLD = """
import sys, time
from pathlib import Path
from busi_keras.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_held_folder_is_free_again_once_its_holder_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=r"another process is at work in .*run; wait until it ends"), held(folder):
            pass
        holder.kill()
        holder.wait()
        with held(folder):
            (folder / "kept").touch()
    with held(folder), held(tmp_path / "empty"):
        assert (tmp_path / "empty").is_dir()
    assert names(tmp_path) == ["run"]
    with pytest.raises(UsageError, match=r"kept cannot be written"), held(folder / "kept"):
        pass


def test_a_file_that_cannot_be_read_now_is_not_called_damaged(tmp_path: Path) -> None:
    archive = tmp_path / "a.npz"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("a", b"1")
    verify_archive(archive)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(UsageError, match=r"a\.npz cannot be read \(Too many open files\)"):
            verify_archive(archive)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(ValueError, match="is damaged"):
        verify_archive(tmp_path / "none.npz")


def test_writing_many_files_does_not_list_the_folder_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".999999999.b.txt"  # of a process that was killed
    left.touch()
    listed: list[Path] = []
    found = Path.glob

    def glob(folder: Path, pattern: str) -> Iterator[Path]:
        listed.append(folder)
        return found(folder, pattern)

    monkeypatch.setattr(Path, "glob", glob)
    for name in "abc":
        write_text(tmp_path / f"{name}.txt", name)
    assert listed == [tmp_path]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt", "c.txt"]
