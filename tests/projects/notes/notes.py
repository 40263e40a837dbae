"""Notes in a database. Each engine exists once per process."""

import os

from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
engine = create_engine(URL)
async_engine = create_async_engine(URL.replace("sqlite://", "sqlite+aiosqlite://", 1))

INSERT = text("INSERT INTO notes(text) VALUES (:text)")
SELECT = text("SELECT text FROM notes ORDER BY id")


def add(note: str) -> None:
    with engine.begin() as connection:
        connection.execute(INSERT, {"text": note})


def all_notes() -> list:
    with engine.connect() as connection:
        return list(connection.execute(SELECT).scalars())


async def add_async(note: str) -> None:
    async with async_engine.begin() as connection:
        await connection.execute(INSERT, {"text": note})


async def all_notes_async() -> list:
    async with async_engine.connect() as connection:
        return list((await connection.execute(SELECT)).scalars())
