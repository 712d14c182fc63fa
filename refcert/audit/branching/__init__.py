"""The second rigorous method: interval branch and bound with second-order forms, in ball arithmetic."""
