"""An order keeps the address it was sent to, since customers move.

Revision ID: 0030
Revises: 0029
Create Date: 2022-08-15
"""
import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"

COLUMNS = {
    "ship_to_name": sa.String(200),
    "ship_to_line1": sa.String(200),
    "ship_to_line2": sa.String(200),
    "ship_to_postal_code": sa.String(20),
    "ship_to_city": sa.String(100),
    "ship_to_country_code": sa.String(2),
}


def upgrade() -> None:
    for name, type_ in COLUMNS.items():
        op.add_column("orders", sa.Column(name, type_))
    # Null where a customer never had an address: those orders were collected.
    op.execute(
        """
        UPDATE orders SET (
            ship_to_name, ship_to_line1, ship_to_line2,
            ship_to_postal_code, ship_to_city, ship_to_country_code
        ) = (
            SELECT trim(customers.first_name || ' ' || customers.last_name), line1, line2,
                   postal_code, city, country_code
            FROM addresses JOIN customers ON customers.id = addresses.customer_id
            WHERE addresses.customer_id = orders.customer_id AND is_default = 1
        )
        """
    )
