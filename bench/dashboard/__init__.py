"""What the dashboard's benchmark needs: a browser that is looked at from outside, and a page to compare with."""
