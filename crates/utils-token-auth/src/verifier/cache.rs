use std::{
    any::Any,
    cell::RefCell,
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    rc::Rc,
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{Inner, Times};
use crate::{Token, per_thread::PerThread};

thread_local! {
    static TABLES: RefCell<PerThread<Inner, Table>> = const { RefCell::new(PerThread::new()) };
}

/// Tokens of one verifier that this thread has verified, each with what it said.
///
/// It answers one question only: was this very text, to the byte, signed by one of the verifier's keys. Times are
/// checked again at every hit, and whether a session was revoked is asked elsewhere, by session. Direct-mapped: a
/// token that hashes to the same slot takes the place of the older one, so the size is bounded and nothing is swept.
struct Table {
    /// Keyed by a random number, so that nobody can aim at a slot or learn a text by how long a comparison takes.
    hasher: RandomState,
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    /// The hash of the token that was verified last and not found here.
    seen: u64,
    entry: Option<Box<Entry>>,
}

/// When a token that was verified is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    AtOnce,
    /// To keep a token costs a good part of what an HMAC costs, which is lost on one that never comes back.
    AtSecondSight,
}

struct Entry {
    hash: u64,
    text: Zeroizing<String>,
    times: Times,
    /// An `Rc<Token<C>>`, as `Token<C>`.
    token: Rc<dyn Any>,
}

/// The verified token with this text, if this thread has seen it.
#[inline]
pub(super) fn get<C: 'static>(of: &Arc<Inner>, text: &str) -> Option<(Rc<Token<C>>, Times)> {
    let found = TABLES.try_with(|tables| {
        let mut tables = tables.try_borrow_mut().ok()?;
        let table = tables.get(of)?;
        let hash = table.hash(text);
        let entry = table.slot(hash)?.entry.as_ref()?;
        let same = entry.hash == hash && *entry.text == text;
        same.then(|| (Rc::clone(&entry.token), entry.times))
    });
    let (token, times) = found.ok()??;
    Some((token.downcast().ok()?, times))
}

/// Keeps a verified token for this thread, now or when it is seen again.
pub(super) fn put<C: 'static>(of: &Arc<Inner>, text: &str, times: Times, token: &Rc<Token<C>>, when: Keep) {
    let size = of.policy.cached_tokens;
    let replaced = TABLES.try_with(|tables| {
        let mut tables = tables.try_borrow_mut().ok()?;
        let Ok(table) = tables.get_or_make(of, || Ok::<_, Infallible>(Table::new(size)));
        let hash = table.hash(text);
        let slot = table.slot(hash)?;
        if std::mem::replace(&mut slot.seen, hash) != hash && when == Keep::AtSecondSight {
            return None;
        }
        let text = Zeroizing::new(text.to_owned());
        let entry = Box::new(Entry { hash, text, times, token: Rc::clone(token) as Rc<dyn Any> });
        slot.entry.replace(entry)
    });
    // only now, with the table free again: dropping the application's claims may run any code
    drop(replaced);
}

impl Table {
    fn new(size: usize) -> Self {
        Self { hasher: RandomState::new(), slots: std::iter::repeat_with(Slot::default).take(size).collect() }
    }

    /// The end of a token is its signature, which no two tokens share.
    fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(&text.as_bytes()[text.len().saturating_sub(43)..])
    }

    fn slot(&mut self, hash: u64) -> Option<&mut Slot> {
        let slots = self.slots.len() as u64;
        self.slots.get_mut(hash.checked_rem(slots)? as usize)
    }
}
