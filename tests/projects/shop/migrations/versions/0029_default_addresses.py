"""Addresses have a kind, and one of each kind is the default.

Revision ID: 0029
Revises: 0028
Create Date: 2022-08-01
"""
import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    with op.batch_alter_table("addresses") as batch:
        batch.add_column(
            sa.Column("kind", sa.String(20), nullable=False, server_default="shipping")
        )
        batch.add_column(
            sa.Column("is_default", sa.Boolean, nullable=False, server_default=sa.false())
        )
    # The newest one is where the last parcel went.
    op.execute(
        """
        UPDATE addresses SET is_default = 1
        WHERE id IN (SELECT max(id) FROM addresses GROUP BY customer_id)
        """
    )
    op.create_index(
        "ix_addresses_default",
        "addresses",
        ["customer_id", "kind"],
        unique=True,
        sqlite_where=sa.text("is_default = 1"),
    )
