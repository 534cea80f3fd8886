//! Typed request arguments for actix-web; every wrong field reported at once.
