"""The server: live views over HTTP, and the page that shows them."""
