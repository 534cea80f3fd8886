//! apalis workers over Diesel, jobs enqueued in your own transaction, and a Diesel session factory.
