"""What a customer or a clerk may be told; anything else is a bug."""


class ShopError(Exception):
    """The base of all errors that the command line prints without a traceback."""


class NotFound(ShopError):
    def __init__(self, what: str, which: object) -> None:
        super().__init__(f"no {what} {which}")


class OutOfStock(ShopError):
    def __init__(self, sku: str, wanted: int, available: int) -> None:
        super().__init__(f"{sku}: {wanted} wanted, {available} available")
        self.available = available


class CouponRefused(ShopError):
    pass


class WrongState(ShopError):
    """The order, cart or return is not in a state that allows this."""


class InvalidInput(ShopError):
    pass
