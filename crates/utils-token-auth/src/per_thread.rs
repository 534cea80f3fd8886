use std::sync::{Arc, Weak};

/// What one thread keeps for objects that threads share, until those are gone.
///
/// The signers and verifiers of jsonwebtoken cannot be sent to another thread, and a cache that threads shared would
/// need a lock on the hottest path; so each thread has its own in a `thread_local!`.
pub(crate) struct PerThread<T, V>(Vec<(Weak<T>, V)>);

impl<T, V> PerThread<T, V> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// What is kept for this object.
    ///
    /// The address is proof enough: a `Weak` keeps the allocation, so no other object can have it meanwhile.
    pub(crate) fn get(&mut self, of: &Arc<T>) -> Option<&mut V> {
        let kept = self.0.iter_mut().find(|(owner, _)| Weak::as_ptr(owner) == Arc::as_ptr(of));
        kept.map(|(_, value)| value)
    }

    /// The same, made now if it is not there. Lets go of what was kept for objects that no longer exist.
    pub(crate) fn get_or_make<E>(
        &mut self,
        of: &Arc<T>,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<&mut V, E> {
        let found = self.0.iter().position(|(owner, _)| Weak::as_ptr(owner) == Arc::as_ptr(of));
        let at = match found {
            Some(at) => at,
            None => {
                self.0.retain(|(owner, _)| owner.strong_count() > 0);
                self.0.push((Arc::downgrade(of), make()?));
                self.0.len() - 1
            }
        };
        Ok(&mut self.0[at].1)
    }
}
