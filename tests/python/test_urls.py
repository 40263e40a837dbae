"""Any path becomes a URL that SQLAlchemy and SQLite accept."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path, PureWindowsPath

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

import mintfs
from mintfs import _urls
from support.mounts import Mount
from support.stores import Store

from .ways import MIGRATION, Way

ODD = [
    "plain",
    "two words",
    "what?",
    "no #1",
    "100%25",
    "a%3Fb?c=d&e#f",
    "ünïcode ÄÖ 数据",
    'it\'s "quoted" \\ back',
    "semi;colon:at@home",
    "b\udcffytes",
]


@pytest.fixture(params=ODD)
def path(request, place):
    """A database of that name in a directory of that name."""
    directory = place / request.param
    directory.mkdir()
    path = directory / f"{request.param}.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(MIGRATION)
    return path


def goods(engine) -> int:
    try:
        with engine.connect() as connection:
            return connection.execute(text("SELECT count(*) FROM goods")).scalar_one()
    finally:
        engine.dispose()


async def goods_async(engine) -> int:
    try:
        async with engine.connect() as connection:
            return (await connection.execute(text("SELECT count(*) FROM goods"))).scalar_one()
    finally:
        await engine.dispose()


def test_sqlalchemy_opens_the_url(path):
    assert goods(create_engine(_urls.sqlalchemy_url(path))) == 2
    for options in ({"mode": "ro"}, {"mode": "ro", "immutable": True}, {"timeout": 5}):
        assert goods(create_engine(_urls.sqlalchemy_url(path, **options))) == 2
    assert sorted(os.listdir(path.parent)) == [path.name]


def test_aiosqlite_opens_the_url(path):
    for options in ({}, {"mode": "ro"}):
        url = _urls.sqlalchemy_url(path, "aiosqlite", **options)
        assert asyncio.run(goods_async(create_async_engine(url))) == 2


def test_options_reach_sqlite(path):
    engine = create_engine(_urls.sqlalchemy_url(path, mode="ro"))
    with engine.connect() as connection:
        with pytest.raises(Exception, match="readonly database"):
            connection.execute(text("DELETE FROM goods"))
    engine.dispose()


def test_sqlite_opens_the_uri(path):
    for options in ({}, {"mode": "ro", "immutable": 1}):
        with closing(sqlite3.connect(_urls.file_uri(path, **options), uri=True)) as connection:
            assert connection.execute("SELECT count(*) FROM goods").fetchone() == (2,)
    with closing(sqlite3.connect("file::memory:", uri=True)) as connection:
        connection.execute("ATTACH ? AS it", [_urls.file_uri(path)])
        assert connection.execute("SELECT count(*) FROM it.goods").fetchone() == (2,)


def test_plain_paths_stay_plain_urls():
    assert _urls.sqlalchemy_url(Path("/a b#c%d/ü.db")) == "sqlite:////a b#c%d/ü.db"
    assert _urls.sqlalchemy_url(Path("/a?/b.db")) == "sqlite:///file:/a%3F/b.db?uri=true"


def test_windows_paths_become_urls():
    path = PureWindowsPath("C:\\Users\\me\\two words#1.db")
    assert _urls.sqlalchemy_url(path) == "sqlite:///C:/Users/me/two words#1.db"
    assert _urls.file_uri(path, mode="ro") == "file:///C:/Users/me/two%20words%231.db?mode=ro"


@pytest.mark.parametrize("name", [name for name in ODD if name.isprintable()])
def test_databases_work_in_directories_with_odd_names(fuse, place, name):
    """Store, mount, checkout and temporary directory are all below such a directory."""
    home = place / name
    home.mkdir()
    store = Store(home)
    for kind in ("mount", "copy", "none"):
        way = Way(kind, store, home / "tmp")
        mounted = Mount(store, home / "mnt") if kind == "mount" else None
        way.script(IN_ODD_PLACES, cwd=home)
        assert way.sessions() == []
        if mounted:
            mounted.stop()


IN_ODD_PLACES = """
import mintfs
from sqlalchemy import create_engine, text
builder = ["python3", "-c", "import sqlite3, sys; "
    "sqlite3.connect(sys.argv[1]).execute('CREATE TABLE goods(id)')", "{out}"]
key = mintfs.template(builder=builder)
with mintfs.database(key) as db:
    for url in (db.url, mintfs.sealed(key).url):
        engine = create_engine(url)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM goods")).scalar_one() == 0
        engine.dispose()
    db.reset()
mintfs.memory(key).execute("SELECT * FROM goods")
"""


@pytest.mark.on_ways("mount", "copy")
def test_the_commands_urls_are_the_same(here):
    key = mintfs.template()
    output = here.store.run("session", "new", "--url", key, "one", env=here.backend_variable())
    url = output.stdout.strip()
    with mintfs.database(key) as db:
        assert url == db.url.replace(db.directory.name, "one")
    here.store.run("session", "rm", "one", env=here.backend_variable())
