"""Coupons that take some per cent off.

Revision ID: 0020
Revises: 0019
Create Date: 2021-10-04
"""
import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "coupons",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("code", sa.String(40), nullable=False),
        sa.Column("percent", sa.Integer, nullable=False),
        sa.Column("valid_until", sa.DateTime),
        sa.UniqueConstraint("code", name="uq_coupons_code"),
    )
