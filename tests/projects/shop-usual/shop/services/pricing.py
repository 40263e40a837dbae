"""What an order costs. No database here: numbers in, numbers out."""
from dataclasses import dataclass
from typing import Sequence

FREE_SHIPPING_FROM = 5000
SHIPPING_AT_HOME = 490
SHIPPING_ABROAD = 1290
HOME = "DE"


@dataclass(frozen=True)
class PricedLine:
    quantity: int
    unit_price_cents: int
    tax_rate_bp: int

    @property
    def total_cents(self) -> int:
        return self.quantity * self.unit_price_cents


@dataclass(frozen=True)
class Totals:
    subtotal_cents: int
    discount_cents: int
    shipping_cents: int
    tax_cents: int

    @property
    def total_cents(self) -> int:
        return self.subtotal_cents - self.discount_cents + self.shipping_cents


def contained_tax(gross_cents: int, rate_bp: int) -> int:
    """The tax in a price that includes it, to the nearest cent, halves upwards."""
    divisor = 10000 + rate_bp
    return (2 * gross_cents * rate_bp + divisor) // (2 * divisor)


def split_in_proportion(amount: int, weights: Sequence[int]) -> "list[int]":
    """Parts of `amount` that add up to it exactly; the largest remainders get the odd cents."""
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = [amount * weight // whole for weight in weights]
    remainders = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % whole), i))
    for i in remainders[: amount - sum(parts)]:
        parts[i] += 1
    return parts


def shipping_fee(goods_cents: int, country_code: str) -> int:
    if country_code != HOME:
        return SHIPPING_ABROAD
    return 0 if goods_cents >= FREE_SHIPPING_FROM else SHIPPING_AT_HOME


def totals(lines: Sequence[PricedLine], discount_cents: int, country_code: str) -> Totals:
    subtotal = sum(line.total_cents for line in lines)
    discount = min(discount_cents, subtotal)
    discounts = split_in_proportion(discount, [line.total_cents for line in lines])
    return Totals(
        subtotal_cents=subtotal,
        discount_cents=discount,
        shipping_cents=shipping_fee(subtotal - discount, country_code),
        tax_cents=sum(
            contained_tax(line.total_cents - off, line.tax_rate_bp)
            for line, off in zip(lines, discounts)
        ),
    )
