"""Words that every other package uses: boxes, tables, taxonomy, parameters, rounds, errors."""
