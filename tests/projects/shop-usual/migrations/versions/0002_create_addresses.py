"""Addresses of customers.

Revision ID: 0002
Revises: 0001
Create Date: 2021-03-01
"""
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "addresses",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("customer_id", sa.Integer, nullable=False),
        sa.Column("street", sa.String(200), nullable=False),
        sa.Column("zip", sa.String(20), nullable=False),
        sa.Column("city", sa.String(100), nullable=False),
        sa.Column("country", sa.String(100), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_addresses_customer_id"),
    )
    op.create_index("ix_addresses_customer_id", "addresses", ["customer_id"])
