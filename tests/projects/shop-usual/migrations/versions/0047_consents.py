"""A yes to the newsletter is a consent: since when, and until when.

Revision ID: 0047
Revises: 0046
Create Date: 2024-02-12
"""
import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    op.create_table(
        "consents",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("customer_id", sa.Integer, nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("granted_at", sa.DateTime, nullable=False),
        sa.Column("withdrawn_at", sa.DateTime),
        sa.UniqueConstraint("customer_id", "channel", name="uq_consents_customer_id_channel"),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_consents_customer_id"),
    )
    op.execute(
        """
        INSERT INTO consents (customer_id, channel, granted_at)
        SELECT id, 'email', created_at FROM customers WHERE newsletter
        """
    )
    with op.batch_alter_table("customers") as batch:
        batch.drop_column("newsletter")
