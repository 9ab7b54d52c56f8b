"""What the web process and the workers both need: settings, database, queue, storage, images, errors, logging."""
