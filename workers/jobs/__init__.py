"""One module per kind of job: rows become arrays, numerics run, files are stored, and a recorder writes the rows."""
