import asyncio
import sqlite3

import notes
import pytest

FIRST = ["the first note"]


@pytest.mark.parametrize("turn", range(3))
def test_each_test_starts_anew(turn):
    assert notes.all_notes() == FIRST
    notes.add(f"turn {turn}")
    assert notes.all_notes() == [*FIRST, f"turn {turn}"]


@pytest.mark.parametrize("turn", range(3))
def test_async_tests_too(turn):
    async def add_one():
        assert await notes.all_notes_async() == FIRST
        await notes.add_async(f"turn {turn}")
        found = await notes.all_notes_async()
        await notes.async_engine.dispose()
        return found

    assert asyncio.run(add_one()) == [*FIRST, f"turn {turn}"]
    assert notes.all_notes() == [*FIRST, f"turn {turn}"]


def test_a_database_besides(mintfs_db, mintfs_memory):
    """The databases of the fixtures are not the application's."""
    notes.add("of the application")
    for connection in (sqlite3.connect(mintfs_db), mintfs_memory):
        assert connection.execute("SELECT text FROM notes").fetchall() == [(FIRST[0],)]
        connection.close()
