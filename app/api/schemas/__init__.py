"""The shapes of what the REST API takes and gives. Job specs are not here: they are models/specs/ itself."""
