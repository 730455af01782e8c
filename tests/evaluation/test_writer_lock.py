"""A workdir has one writer, with the locks of the file system or without them."""

import contextlib
import errno
import os
import subprocess
import sys
import warnings

import pytest

from experiments.cli.flags import ConfigError
from experiments.evaluation import writer_lock
from experiments.evaluation.writer_lock import only_writer
from lightman_jax.files import host_name

ERRORS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EIO)


@pytest.fixture(params=[*ERRORS, None], ids=lambda number: errno.errorcode.get(number, "no fcntl"))
def no_locks(request, monkeypatch):
    if request.param is None:
        monkeypatch.setattr(writer_lock, "fcntl", None)
        return

    def flock(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(writer_lock.fcntl, "flock", flock)


def ended_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def refuse_a_second_writer(workdir):
    assert (workdir / ".writer.process").read_text() == f"{host_name()} {os.getpid()}\n"
    with pytest.raises(ConfigError, match=rf"written by process {os.getpid()} of "), only_writer(workdir):
        pass
    assert (workdir / ".writer.process").exists(), "the refused process must not release the lock of the other"


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_file_keeps_a_second_writer_out_and_a_warning_names_it(tmp_path):
    text = r"has no locks \(.+\): the file .*\.writer\.process keeps other processes out"
    with pytest.warns(UserWarning, match=text), only_writer(tmp_path):
        refuse_a_second_writer(tmp_path)
    assert not (tmp_path / ".writer.process").exists()


def without_locks(monkeypatch):
    monkeypatch.setattr(writer_lock, "fcntl", None)


def test_the_file_of_an_ended_process_is_replaced(tmp_path, monkeypatch):
    without_locks(monkeypatch)
    (tmp_path / ".writer.process").write_text(f"{host_name()} {ended_process()}\n")
    with pytest.warns(UserWarning, match="has no locks"), only_writer(tmp_path):
        assert (tmp_path / ".writer.process").read_text() == f"{host_name()} {os.getpid()}\n"


@pytest.mark.parametrize("content", ["elsewhere 1\n", "", "nonsense", "two words 12\n"])
def test_the_file_of_another_computer_is_kept_and_named_in_the_remedy(tmp_path, monkeypatch, content):
    without_locks(monkeypatch)
    path = tmp_path / ".writer.process"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"has ended, remove .*\.writer\.process and repeat"), only_writer(tmp_path):
        pass
    assert path.read_text() == content


def test_with_locks_there_is_no_such_file_and_no_warning(tmp_path):
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("error")
        stack.enter_context(only_writer(tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == [".writer"]
