"""A small shop: customers, a catalogue, carts, orders and what follows from them."""
