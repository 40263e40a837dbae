"""First and last names apart, as carriers want them.

Revision ID: 0012
Revises: 0011
Create Date: 2021-06-07
"""
import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def split_name(name: str) -> "tuple[str, str]":
    """'Lovelace, Ada' and 'Ada King Lovelace' are both seen; a single word is a last name."""
    if "," in name:
        last, first = name.split(",", 1)
    else:
        first, _, last = name.strip().rpartition(" ")
    return first.strip(), last.strip()


def upgrade() -> None:
    for column in ("first_name", "last_name"):
        op.add_column(
            "customers", sa.Column(column, sa.String(100), nullable=False, server_default="")
        )
    bind = op.get_bind()
    for customer in bind.execute(sa.text("SELECT id, name FROM customers")).all():
        first, last = split_name(customer.name)
        bind.execute(
            sa.text("UPDATE customers SET first_name = :first, last_name = :last WHERE id = :id"),
            {"id": customer.id, "first": first, "last": last},
        )
    with op.batch_alter_table("customers") as batch:
        batch.drop_column("name")
        batch.alter_column("first_name", server_default=None)
        batch.alter_column("last_name", server_default=None)
    op.create_index("ix_customers_last_name", "customers", ["last_name"])
