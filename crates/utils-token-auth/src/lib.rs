//! Short-lived JWTs, revocable refresh tokens, and sessions a user can list and revoke, for actix-web.
