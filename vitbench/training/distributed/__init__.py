"""Several processes that train one model together: how they meet, and how their gradients are summed."""
