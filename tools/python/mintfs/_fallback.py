"""Templates and sessions without the mintfs command: the builder runs once per test run, databases
are copies.

    RUN/templates/KEY/files/...     the builder's files, read-only
    RUN/templates/KEY/about.json    the file asked for, and the databases that start in WAL mode
    RUN/names/NAME                  a file that contains a key
    RUN/locks/KEY                   held by the process that builds
    RUN/sessions/...                databases, unless there is room for them in /dev/shm

A key here means one template in one test run. Inputs are not read, since no template is kept.
"""

import re
import stat
import sys
from contextlib import closing
from typing import Any, Dict, List, Mapping

from . import _command, _project_conf, _settings, _test_run
from ._child_process import with_parent
from ._errors import BuilderFailed, Corrupt, Error, NotFound
from ._locks import held
from ._remove_tree import remove_tree
from ._sessions import Session, Source, Template, choose_databases
from ._settings import BACKEND_VARIABLE
from ._stdlib import Path, hashlib, io, json, os, shutil, sqlite3
from ._unique_names import make_directory, new_id

BUILDING = "MINTFS_BUILDING"  # the keys that parent processes are building, each with a colon
ROOM_TO_LEAVE_BYTES = 64 << 20
VERSIONS_OFFSET = 18  # SQLite's file header: write and read version, 2 in WAL mode
WAL_VERSIONS = b"\2\2"
CANNOT_RUN, NOT_FOUND = 126, 127
PYTHONS = ("python", "python3")
#: The interpreter that these names mean in a builder's command if PATH does not have it under that
#: name. The command reads this variable, too.
PYTHON_VARIABLE = "MINTFS_PYTHON"
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")  # or key
SQLITE_HEADER = b"SQLite format 3\0"


def warn_once(why: str) -> None:
    """Prints once in a test run that databases are copies, and why."""
    if _settings.known().environ.get(BACKEND_VARIABLE) == "fuse":
        raise Error(f"no mintfs command, and {BACKEND_VARIABLE} asks for a mount: {why}")
    try:
        _warned_marker().touch(exist_ok=False)
    except FileExistsError:
        return
    _command.pass_on(
        f"mintfs: {why}: the builder runs once per test run, and each database is a copy\n"
    )


def suppress_warning() -> None:
    """Joins the test run, in which warn_once() prints nothing from now on."""
    _warned_marker().touch()


def _warned_marker() -> Path:
    return _test_run.current().directory / "warned"


# ---- templates ----


def build(spec: _project_conf.Spec, root: Path, environ: Mapping[str, str]) -> str:
    """Builds the template unless this run has built it, and returns its key."""
    key = _key(spec, root, environ)
    if key + ":" in environ.get(BUILDING, ""):
        raise Error(f"the builder of {key[:12]} asks for the very template that it makes")
    run = _test_run.current().directory
    for name in ("templates", "names", "locks"):
        (run / name).mkdir(exist_ok=True)
    with held(run / "locks" / key):
        if not (run / "templates" / key).is_dir():
            _build(spec, root, environ, key)
    if spec.name:
        _replace_text(run / "names" / spec.name, key)
    return key


def _key(spec: _project_conf.Spec, root: Path, environ: Mapping[str, str]) -> str:
    declared = {name: environ.get(name) for name in spec.lists["env"]}
    what = [str(root), spec.builder, spec.lists, spec.single, declared]
    text = json.dumps(what, sort_keys=True)
    return hashlib.sha256(b"mintfs-python-1\n" + text.encode()).hexdigest()


def _build(spec: _project_conf.Spec, root: Path, environ: Mapping[str, str], key: str) -> None:
    templates = _test_run.current().directory / "templates"
    work = make_directory(templates, ".building-")
    try:
        files = work / "files"
        out = files / spec.file
        out.parent.mkdir(parents=True)
        _run_builder(spec, root, environ, key, out, files)
        _drop_unused_parents(out, files)
        _check(spec, files, out)
        about = {"file": spec.file, "wal": _seal(files)}
        (work / "about.json").write_text(json.dumps(about), encoding="utf-8")
        work.rename(templates / key)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _run_builder(
    spec: _project_conf.Spec,
    root: Path,
    environ: Mapping[str, str],
    key: str,
    out: Path,
    files: Path,
) -> None:
    places = {"out": str(out), "dir": str(files)}
    words = [_project_conf.fill(word, places) for word in spec.builder]
    env = {
        **environ,
        "MINTFS_OUT": str(out),
        "MINTFS_DIR": str(files),
        BUILDING: environ.get(BUILDING, "") + key + ":",
    }
    program = words[0]  # if it contains a slash, it is relative to the root, where it runs
    if not os.path.dirname(program):
        program = _find_program(program, env)
    try:
        command = with_parent([program, *words[1:]], env)
        status, _, output = _command.run_streaming(command, str(root), env, _command.STDOUT)
    except OSError as error:
        raise BuilderFailed(f"cannot run the builder {words[0]}: {error}", CANNOT_RUN) from None
    if status is None:
        raise Error(f"builder {words[0]}: its exit status is unknown: its parent was killed")
    if status != 0:
        how = f"exited with {status}" if status > 0 else f"was ended by signal {-status}"
        raise BuilderFailed(f"builder {words[0]} {how}", status, output)


def _find_program(word: str, env: Dict[str, str]) -> str:
    """The path of the builder's program. `python` and `python3` mean the interpreter that
    PYTHON_VARIABLE names, else the first on PATH under either name. Removes the variable from
    `env`."""
    paths = env.get("PATH") or os.defpath
    interpreter = env.pop(PYTHON_VARIABLE, "")
    names = [word]
    if word in PYTHONS and interpreter:
        names = [interpreter]
    elif word in PYTHONS:
        first = paths.split(os.pathsep)[0]
        candidates = (shutil.which(name, path=first) for name in (word, *PYTHONS))
        names = [*filter(None, candidates), word, sys.executable]
    for name in names:
        program = shutil.which(name, path=paths)
        if program:
            return program
    raise BuilderFailed(f"cannot find the builder {word}", NOT_FOUND)


def _drop_unused_parents(out: Path, files: Path) -> None:
    for directory in out.parents:
        if directory == files or not directory.is_dir() or any(directory.iterdir()):
            return
        directory.rmdir()


def _check(spec: _project_conf.Spec, files: Path, out: Path) -> None:
    asked = "file" in spec.single or any(map(_project_conf.has_out, spec.builder))
    if not any(path.is_file() for path in files.rglob("*")):
        raise Error(
            f"builder left nothing in {files}; it may have migrated another database: check "
            "DATABASE_URL, or sqlalchemy.url in alembic.ini"
        )
    if asked and not out.is_file():
        raise Error(
            f"builder left other files in {files}, but not {spec.file}: write to {{out}} or "
            "$MINTFS_OUT, or say with file what it is called"
        )


def _seal(files: Path) -> List[str]:
    """Makes all files read-only, and each database a single file. Returns those in WAL mode."""
    in_wal = []
    for path in sorted(files.rglob("*")):
        if path.is_file() and _is_database(path):
            try:
                with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                    ((mode,),) = connection.execute("PRAGMA journal_mode").fetchall()
                    if mode == "wal":
                        in_wal.append(path.relative_to(files).as_posix())
                        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
                    connection.execute("SELECT * FROM sqlite_master").fetchall()
            except sqlite3.DatabaseError as error:
                raise Corrupt(f"{path.relative_to(files)}: {error}") from None
    for path in files.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    return in_wal


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER


def place(key: str, path: Path) -> None:
    """Does what `mintfs build --to` does: the file at `path` is replaced in one step."""
    if path.is_dir():
        raise Error(f"cannot place the database at {path}: it is a directory")
    about = _about(key)
    source = _template(key) / "files" / about["file"]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{new_id()}")
    _copy_writable(str(source), str(temporary))
    if about["file"] in about["wal"]:
        _restore_wal(temporary)
    for side in ("-journal", "-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    os.replace(temporary, path)


def _template(key: str) -> Path:
    return _test_run.current().directory / "templates" / key


def _about(key: str) -> Dict[str, Any]:
    about: Dict[str, Any] = json.loads((_template(key) / "about.json").read_text(encoding="utf-8"))
    return about


def _replace_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{new_id()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


# ---- sessions ----


class FallbackSource(Source):
    """Copies in the run's directory."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why

    def new(self, key: str) -> Session:
        key = _resolve(key)
        directory = _parent_for(key) / new_id()
        _copy(key, directory)
        return Session(directory, key, "none", self.why)

    def reset(self, session: Session) -> None:
        directory = session.directory
        fresh = directory.with_name(f".{new_id()}")
        old = directory.with_name(f".{new_id()}")
        _copy(session.key, fresh)
        try:
            directory.rename(old)
        except FileNotFoundError:
            remove_tree(fresh)
            raise NotFound(f"no session at {directory}") from None
        fresh.rename(directory)
        remove_tree(old)

    def remove(self, session: Session) -> None:
        try:
            remove_tree(session.directory)
        except PermissionError:  # pragma: no cover
            if sys.platform != "win32":
                raise  # on Windows an open file stays, and is removed with the run

    def _describe(self, text: str, place: Path) -> Template:
        key = _resolve(text)
        directory = _template(key) / "files"
        found = [path for path in directory.rglob("*") if path.is_file()]
        databases, file = choose_databases(
            ((path.relative_to(directory).as_posix(), _is_database(path)) for path in found),
            _about(key)["file"],
        )
        created = int(directory.stat().st_mtime)
        return Template(key, directory, databases, file, created * 10**9, 0)


def _resolve(template: str) -> str:
    run = _test_run.current().directory
    if NAME.fullmatch(template):
        if (run / "templates" / template).is_dir():
            return template
        if (run / "names" / template).is_file():
            return (run / "names" / template).read_text(encoding="utf-8")
    raise NotFound(f"no template {template} in this test run: call mintfs.template() first")


def _parent_for(key: str) -> Path:
    """In /dev/shm if that leaves room there, by the rule of the mintfs command's copies."""
    run = _test_run.current()
    size = sum(path.stat().st_size for path in (_template(key) / "files").rglob("*"))
    if sys.platform == "linux" and _has_room(_test_run.SHARED_MEMORY, size):
        run.memory.mkdir(mode=0o700, exist_ok=True)
        if run.memory.stat().st_uid == os.getuid():
            return run.memory
    parent = run.directory / "sessions"
    parent.mkdir(exist_ok=True)
    return parent


def _has_room(place: Path, size: int) -> bool:
    if not os.path.ismount(place) or not os.access(place, os.W_OK):
        return False
    free = shutil.disk_usage(place).free
    return free // 2 > size and free - size > ROOM_TO_LEAVE_BYTES


def _copy(key: str, directory: Path) -> None:
    """Copies the template. The directory appears in one step."""
    temporary = directory.with_name(f".{new_id()}")
    files = _template(key) / "files"
    try:
        shutil.copytree(files, temporary, symlinks=True, copy_function=_copy_writable)
        for name in _about(key)["wal"]:
            _restore_wal(temporary / name)
        temporary.chmod(0o700)
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _copy_writable(source: str, to: str) -> str:
    shutil.copyfile(source, to, follow_symlinks=False)
    os.chmod(to, stat.S_IMODE(os.lstat(source).st_mode) | stat.S_IWUSR)
    return to


def _restore_wal(path: Path) -> None:
    with io.open(path, "r+b") as file:
        file.seek(VERSIONS_OFFSET)
        file.write(WAL_VERSIONS)
