//! Another init as process 1 of its own namespaces.
