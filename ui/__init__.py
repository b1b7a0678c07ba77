"""The dashboard: pages, and the few calls that they make. Pictures go from the nodes straight to the browser."""
