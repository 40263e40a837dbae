"""One template for all sessions of nox, whatever their interpreters.

    @nox.session
    def tests(session):
        mintfs.nox.template(session)            # of mintfs.conf; the first session builds it
        session.run("pytest")                   # its mintfs_db uses the template
"""

import os
import time
from typing import Any, Dict, Optional

import mintfs
import nox

from . import _test_run
from ._template import STARTED_VARIABLE, VARIABLE


def template(session: nox.Session, name: Optional[str] = None, **options: Any) -> str:
    """Returns the key of a template, after building it if necessary. The options are those of
    mintfs.template().

    A builder finds the session's interpreter as "python3" or "python"; if it fails, the session
    fails. Programs run by the session find the key in $MINTFS_TEMPLATE, which mintfs.template(),
    mintfs.database() and the pytest fixtures use.
    """
    options.setdefault("environ", _environment(session))
    started_ns = time.time_ns()
    outer = os.environ.pop(VARIABLE, None)  # of the process that called nox
    try:
        key = mintfs.template(name, **options)
    except mintfs.Error as error:
        session.error(f"mintfs: {error}")
    finally:
        if outer is not None:
            os.environ[VARIABLE] = outer
    session.log(f"mintfs: template {key}")
    session.env[VARIABLE] = key
    session.env[STARTED_VARIABLE] = str(started_ns)
    if _test_run.VARIABLE in os.environ:
        session.env[_test_run.VARIABLE] = os.environ[_test_run.VARIABLE]
    return key


def _environment(session: nox.Session) -> Dict[str, str]:
    """The environment that session.run() would give to a program."""
    env = {**os.environ, **{k: v for k, v in session.env.items() if v is not None}}
    for directory in reversed(session.bin_paths or []):
        if env.get("PATH", "").split(os.pathsep)[0] != directory:
            env["PATH"] = os.pathsep.join((directory, env.get("PATH", os.defpath)))
    return env
