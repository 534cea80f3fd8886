//! Request, CRUD and privilege harnesses, database isolation and contract suites for actix-web and Diesel tests.
