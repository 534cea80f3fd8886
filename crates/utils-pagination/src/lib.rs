//! Offset pages over any Diesel query, for actix-web handlers.
