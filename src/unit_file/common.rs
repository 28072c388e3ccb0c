//! [`Common`]: what units have in common is kept once.

use std::sync::{Arc, Mutex, PoisonError};

use crate::supervision::hooks::Hooks;
use crate::supervision::unit::{Limits, Process, Restart, Stop};

pub(super) static STOP: Common<Stop> = Common(Mutex::new(None));
pub(super) static RESTART: Common<Restart> = Common(Mutex::new(None));
pub(super) static HOOKS: Common<Hooks> = Common(Mutex::new(None));
pub(super) static PROCESS: Common<Process> = Common(Mutex::new(None));
pub(super) static LIMITS: Common<Limits> = Common(Mutex::new(None));

/// The value of the last unit. Most say nothing about it, and those of one make say the same.
pub(super) struct Common<T>(Mutex<Option<Arc<T>>>);

impl<T: PartialEq> Common<T> {
    /// The last value once more where this one is the same.
    pub fn share(&self, value: T) -> Arc<T> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(last) if **last == value => Arc::clone(last),
            Some(_) | None => Arc::clone(last.insert(Arc::new(value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_same_is_shared() {
        let common = Common(Mutex::new(None));
        let quick = || Restart { delay: 1, ..Restart::default() };
        let first = common.share(Restart::default());
        assert!(Arc::ptr_eq(&first, &common.share(Restart::default())));
        let other = common.share(quick());
        assert_eq!((&*first, &*other), (&Restart::default(), &quick()));
        assert!(Arc::ptr_eq(&other, &common.share(quick())));
    }
}
