"""Countries by their ISO code, and the address columns by their usual names.

Revision ID: 0013
Revises: 0012
Create Date: 2021-06-21
"""
import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

COUNTRY_CODES = {
    "austria": "AT",
    "belgium": "BE",
    "denmark": "DK",
    "deutschland": "DE",
    "france": "FR",
    "germany": "DE",
    "netherlands": "NL",
    "the netherlands": "NL",
    "österreich": "AT",
    "switzerland": "CH",
}
UNKNOWN = "ZZ"  # reserved by ISO 3166 for users: support calls these customers


def upgrade() -> None:
    op.add_column(
        "addresses", sa.Column("country_code", sa.String(2), nullable=False, server_default="ZZ")
    )
    bind = op.get_bind()
    for (country,) in bind.execute(sa.text("SELECT DISTINCT country FROM addresses")).all():
        code = COUNTRY_CODES.get(country.strip().lower(), UNKNOWN)
        bind.execute(
            sa.text("UPDATE addresses SET country_code = :code WHERE country = :country"),
            {"code": code, "country": country},
        )
    with op.batch_alter_table("addresses") as batch:
        batch.drop_column("country")
        batch.alter_column("country_code", server_default=None)
        batch.alter_column("street", new_column_name="line1")
        batch.alter_column("zip", new_column_name="postal_code")
        batch.add_column(sa.Column("line2", sa.String(200)))
