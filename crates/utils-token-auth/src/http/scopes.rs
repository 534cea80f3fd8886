use std::collections::{BTreeSet, HashSet};

/// Claims that say what a token may be used for.
///
/// Lists and sets of strings have their own members; a string has the words between its blanks, as in RFC 6749
/// section 3.3. A scope is compared as it is: nothing stands for several.
///
/// ```
/// use utils_token_auth::Scopes;
///
/// struct Claims {
///     scopes: Vec<String>,
/// }
///
/// impl Scopes for Claims {
///     fn has_scope(&self, scope: &str) -> bool {
///         self.scopes.has_scope(scope)
///     }
/// }
///
/// assert!("orders:read orders:write".has_scope("orders:read"));
/// assert!(!"orders:read".has_scope("orders"));
/// ```
pub trait Scopes {
    /// Whether the token has this scope.
    fn has_scope(&self, scope: &str) -> bool;
}

impl Scopes for str {
    fn has_scope(&self, scope: &str) -> bool {
        !scope.is_empty() && self.split(' ').any(|word| word == scope)
    }
}

impl Scopes for String {
    fn has_scope(&self, scope: &str) -> bool {
        self.as_str().has_scope(scope)
    }
}

impl<T: AsRef<str>> Scopes for [T] {
    fn has_scope(&self, scope: &str) -> bool {
        !scope.is_empty() && self.iter().any(|own| own.as_ref() == scope)
    }
}

impl<T: AsRef<str>> Scopes for Vec<T> {
    fn has_scope(&self, scope: &str) -> bool {
        self.as_slice().has_scope(scope)
    }
}

impl Scopes for BTreeSet<String> {
    fn has_scope(&self, scope: &str) -> bool {
        self.contains(scope)
    }
}

impl<H: std::hash::BuildHasher> Scopes for HashSet<String, H> {
    fn has_scope(&self, scope: &str) -> bool {
        self.contains(scope)
    }
}

impl<T: Scopes> Scopes for Option<T> {
    fn has_scope(&self, scope: &str) -> bool {
        self.as_ref().is_some_and(|scopes| scopes.has_scope(scope))
    }
}
