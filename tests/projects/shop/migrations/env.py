"""Where Alembic finds the database: the caller's URL, else $DATABASE_URL, else alembic.ini."""
import os
from logging.config import fileConfig

from alembic import context
from alembic.util import CommandError
from sqlalchemy import create_engine, pool

from shop.db.models import Base

config = context.config


def upgrade_database() -> None:
    url = (
        config.attributes.get("url")
        or os.environ.get("DATABASE_URL")
        or config.get_main_option("sqlalchemy.url")
    )
    # A plain engine, not shop.db.connect(): it enforces foreign keys, and a batch migration drops
    # the table that others refer to before it puts the new one in its place.
    engine = create_engine(url, poolclass=pool.NullPool, future=True)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=True,
            compare_type=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    raise CommandError("these migrations change rows, not tables alone: --sql cannot write them")
if config.attributes.get("log", True) and config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)
upgrade_database()
