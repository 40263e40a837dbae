"""The tables as they are after the last migration."""
from .base import Base, utcnow
from .carts import Cart, CartItem
from .catalog import Category, PriceHistory, Product, Supplier, Tag
from .coupons import Coupon, CouponRedemption
from .customers import Address, Consent, Customer
from .orders import Order, OrderEvent, OrderLine
from .payments import Payment, Refund
from .returns import Return, ReturnLine
from .reviews import Review
from .shipping import Carrier, Shipment, ShipmentLine
from .stock import StockLevel, StockMovement, Warehouse

__all__ = [
    "Address",
    "Base",
    "Carrier",
    "Cart",
    "CartItem",
    "Category",
    "Consent",
    "Coupon",
    "CouponRedemption",
    "Customer",
    "Order",
    "OrderEvent",
    "OrderLine",
    "Payment",
    "PriceHistory",
    "Product",
    "Refund",
    "Return",
    "ReturnLine",
    "Review",
    "Shipment",
    "ShipmentLine",
    "StockLevel",
    "StockMovement",
    "Supplier",
    "Tag",
    "Warehouse",
    "utcnow",
]
