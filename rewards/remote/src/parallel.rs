//! Some requests at a time, answers in order.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Calls `work` for each item on at most `width` threads, and returns the results in the order of the items.
///
/// After a failure no further item is begun; of several failures the first item's is returned.
pub(super) fn each<I: Sync, T: Send, E: Send>(
    items: &[I],
    width: usize,
    work: impl Fn(&I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    if width <= 1 || items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    let worker = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(i) else { return };
            let result = work(item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..width.min(items.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|&(i, _)| i);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_the_first_failure_is_told() {
        let items: Vec<usize> = (0..50).collect();
        for width in [1, 4, 100] {
            assert_eq!(each(&items, width, |&i| Ok::<_, ()>(2 * i)).unwrap(), (0..100).step_by(2).collect::<Vec<_>>());
            assert_eq!(each(&items, width, |&i| if i >= 7 { Err(i) } else { Ok(i) }), Err(7));
        }
        assert_eq!(each(&[], 4, |&(): &()| Ok::<_, ()>(1)), Ok(vec![]));
    }
}
