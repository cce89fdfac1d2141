"""A file is replaced as a whole or not at all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ddstructs.errors import InputError
from ddstructs.files import check_file, check_folder, replacing, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("before", [None, b"the old one"])
def test_a_file_holds_what_was_written_and_nothing_lies_beside_it(before: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    write_atomically(path, "naïve\n")
    assert path.read_bytes() == "naïve\n".encode()
    assert names(tmp_path) == ["file"]


def test_an_error_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"the old one")
    for error in (ValueError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)), replacing(path) as file:  # noqa: PT012  # the write belongs to the case
            file.write(b"half")
            raise error
    assert path.read_bytes() == b"the old one"
    assert names(tmp_path) == ["file"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as first:
        first.write(b"one")
        with replacing(path) as second:
            second.write(b"another")
        assert path.read_bytes() == b"another"
    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["file"]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_permissions_are_kept_and_links_followed(tmp_path: Path) -> None:
    path, link, fresh = tmp_path / "file", tmp_path / "link", tmp_path / "fresh"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    umask = os.umask(0o027)
    try:
        write_atomically(fresh, "new")
    finally:
        os.umask(umask)
    assert fresh.stat().st_mode & 0o777 == 0o640


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    write_atomically("/dev/null", "nothing")
    assert not Path("/dev/null").is_file()
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_atomically("/dev/full", "nothing")


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    name = 255 * "x"
    write_atomically(tmp_path / name, "new")
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["nowhere/file", "folder"])
def test_an_error_names_the_file_that_was_asked_for(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=f": '{tmp_path / name}'$"):
        write_atomically(tmp_path / name, "new")
    assert names(tmp_path) == ["folder"]


LIMITED = """
import resource, sys
from ddstructs.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_atomically(sys.argv[1], 5000 * "x")
"""


def test_a_disk_without_room_leaves_what_was_there(tmp_path: Path) -> None:
    """Simulated by a limit on the size of files, which any user can set."""
    path = tmp_path / "file"
    path.write_bytes(b"the old one")
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, timeout=60)
    assert f"File too large: '{path}'" in done.stderr
    assert path.read_bytes() == b"the old one"
    assert names(tmp_path) == ["file"]


KILLED = """
import sys, time
from ddstructs.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(5000 * b"x")
    file.flush()
    print("half", flush=True)
    time.sleep(60)
"""


def test_a_kill_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"the old one")
    with subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"the old one"


def test_a_folder_is_checked_without_being_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    check_folder(tmp_path / "a/b", "--out")
    for path, message in (
        ("file", "--out is {}, but that is a file: give a folder"),
        ("file/x/y", f"--out is {{}}, but {tmp_path / 'file'} is a file, not a folder"),
        ("x" * 300, "--out: cannot write {}: File name too long"),
    ):
        for writing in (True, False):
            with pytest.raises(InputError, match=f"^{re.escape(message.format(tmp_path / path))}$"):
                check_folder(tmp_path / path, "--out", writing=writing)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no folder that nobody can write to")
def test_a_folder_that_takes_no_files_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--out: cannot write /proc/x: "):
        check_folder(Path("/proc/x"), "--out")
    check_folder(Path("/proc/x"), "--out", writing=False)
    with pytest.raises(InputError, match=r"^--out: cannot write /proc/x.html: "):
        check_file("/proc/x.html", "--out")


def test_a_file_is_checked_without_being_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    place = str(tmp_path)
    assert check_file(f"{place}/new", "--out") == tmp_path / "new"
    assert check_file(f"{place}/file", "--out") == tmp_path / "file"
    assert check_file(os.devnull, "--out") == Path(os.devnull)
    for path, message in (
        (place, "--out: cannot write {}: it is a folder"),
        (f"{place}/new/", "--out is {}, but that names a folder: name a file in it"),
        (f"{place}/file/x", f"--out: cannot write {{}}: {place}/file is a file, not a folder"),
        (f"{place}/no/x", f"--out: cannot write {{}}: the folder {place}/no does not exist"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message.format(path))}$"):
            check_file(path, "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
