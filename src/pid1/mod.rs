//! What process 1 of a machine does.
