//! What is known of a text, kept for the next time: bounded, shared between threads, with its hit rate as a metric.
//!
//! References are scored many times and analysed once by it, sentences that recur are read once. Knows nothing of what
//! it keeps.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::DashMap;

use crate::{Error, Result};

/// What is known of longer texts is not kept, so that few texts cannot fill the memory.
const LONGEST_TEXT: usize = 32 << 10;

/// How many lookups found their text, and how many did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheCounts {
    pub hits: u64,
    pub misses: u64,
}

/// Values by text; the oldest leave when it is full.
///
/// Counts `addendum_reward_cache_lookups_total{cache, outcome="hit"|"miss"}` and sets
/// `addendum_reward_cache_hit_ratio{cache}`, the share of hits since its creation.
pub struct Cache<T> {
    name: &'static str,
    capacity: usize,
    entries: DashMap<String, Arc<T>>,
    order: Mutex<VecDeque<String>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl<T> Cache<T> {
    /// For at most `capacity` texts; 0 keeps nothing. `name` is its label in metrics.
    pub fn new(name: &'static str, capacity: usize) -> Self {
        Self {
            name,
            capacity,
            entries: DashMap::new(),
            order: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The value of `text`, made by `make` if it is not known.
    ///
    /// # Errors
    /// Those of `make`; then nothing is kept.
    pub fn get(&self, text: &str, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        if let Some(known) = self.find(text) {
            return Ok(known);
        }
        let value = Arc::new(make()?);
        self.keep(text, value.clone());
        Ok(value)
    }

    /// The values of some texts, in order; `make` gets those that are not known, each once.
    ///
    /// # Errors
    /// Those of `make`; then nothing new is kept.
    pub fn get_all(&self, texts: &[&str], make: impl FnOnce(&[&str]) -> Result<Vec<T>>) -> Result<Vec<Arc<T>>> {
        let mut values = BTreeMap::new();
        let mut unknown = Vec::new();
        for &text in texts {
            if let Entry::Vacant(place) = values.entry(text) {
                let known = self.find(text);
                if known.is_none() {
                    unknown.push(text);
                }
                place.insert(known);
            }
        }
        let made = make(&unknown)?;
        if made.len() != unknown.len() {
            return Err(Error::Count { component: self.name, expected: unknown.len(), got: made.len() });
        }
        for (text, value) in unknown.into_iter().zip(made) {
            let value = Arc::new(value);
            self.keep(text, value.clone());
            values.insert(text, Some(value));
        }
        // By now every text has its value.
        Ok(texts.iter().filter_map(|text| values.get(text).cloned().flatten()).collect())
    }

    /// The value of `text`, if it is known.
    pub fn find(&self, text: &str) -> Option<Arc<T>> {
        let known = self.entries.get(text).map(|entry| entry.clone());
        let (count, outcome) = if known.is_some() { (&self.hits, "hit") } else { (&self.misses, "miss") };
        count.fetch_add(1, Ordering::Relaxed);
        let CacheCounts { hits, misses } = self.counts();
        ::metrics::counter!("addendum_reward_cache_lookups_total", "cache" => self.name, "outcome" => outcome)
            .increment(1);
        ::metrics::gauge!("addendum_reward_cache_hit_ratio", "cache" => self.name)
            .set(hits as f64 / (hits + misses) as f64);
        known
    }

    /// Keeps a value, unless its text is too long.
    pub fn keep(&self, text: &str, value: Arc<T>) {
        if self.capacity == 0 || text.len() > LONGEST_TEXT {
            return;
        }
        // A panic elsewhere leaves the queue whole: it is only pushed and popped.
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if self.entries.insert(text.to_owned(), value).is_none() {
            order.push_back(text.to_owned());
        }
        while order.len() > self.capacity {
            if let Some(oldest) = order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }

    pub fn counts(&self) -> CacheCounts {
        CacheCounts { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leave_and_failures_and_long_texts_are_not_kept() {
        let cache = Cache::new("test", 2);
        for text in ["a", "b", "a", "c", "a"] {
            assert_eq!(*cache.get(text, || Ok(text.to_owned())).unwrap(), text);
        }
        assert_eq!((cache.len(), cache.counts()), (2, CacheCounts { hits: 1, misses: 4 }));
        let failure = || Err(Error::Component { component: "test", reason: String::new() });
        assert!(cache.get("d", failure).is_err());
        assert!(cache.find("d").is_none());
        let long = "x".repeat(LONGEST_TEXT + 1);
        cache.keep(&long, Arc::new(String::new()));
        assert!(cache.find(&long).is_none() && cache.find("a").is_some());
    }

    #[test]
    fn each_unknown_text_is_made_once_and_all_keep_their_order() {
        let cache = Cache::new("test", 8);
        cache.keep("b", Arc::new("b".to_owned()));
        let copies = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let got = cache.get_all(&["a", "b", "a", "c"], |texts| {
            assert_eq!(texts, ["a", "c"]);
            Ok(copies(texts))
        });
        assert_eq!(got.unwrap().iter().map(|text| text.as_str()).collect::<Vec<_>>(), ["a", "b", "a", "c"]);
        assert!(cache.get_all(&["c", "a"], |texts| Ok(copies(texts))).is_ok());
        assert!(cache.get_all(&["d", "e"], |texts| Ok(copies(&texts[1..]))).is_err());
        assert!(cache.find("d").is_none() && cache.find("e").is_none());
    }

    #[test]
    fn a_cache_without_capacity_keeps_nothing() {
        let cache = Cache::new("test", 0);
        cache.keep("a", Arc::new(1));
        assert!(cache.is_empty());
    }
}
