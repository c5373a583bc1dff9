"""The border: files that others wrote enter, checked rows leave, with every problem listed by its row; and the way back."""
