"""Makes releases that anyone can make again and compare, and publishes them."""
