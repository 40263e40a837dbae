"""What all tables share. Times are UTC without a zone, money is an integer of cents."""
from datetime import datetime, timezone

from sqlalchemy import MetaData
from sqlalchemy.orm import declarative_base


def utcnow() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


def one_of(column: str, words: "tuple[str, ...]") -> str:
    """The condition of a CHECK constraint: `column` holds one of these words."""
    return f"{column} IN ({', '.join(repr(word) for word in words)})"


Base = declarative_base(
    metadata=MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
)
